/* Which recorded objects are those of a `cp --delete`: by the path of the source, its name, and the destination. */
#include "producer/cli/store/removal_scope.h"
#include "unit.h"

#define OWNED(text) ((char *)(text)) /* nothing frees it */

static struct producer_tree trees[] = {{OWNED("/data/run"), OWNED("s3://bkt/p"), 1},
                                       {OWNED("/data/run/sub"), OWNED("s3://bkt/p/other"), 1}};
static const struct removal_scope scope = {.trees = trees, .tree_count = 2, .source_name = OWNED("nas")};

/* The name in the tree; NULL: it is none of them. */
static const char *find_in(const struct removal_scope *s, const char *src, const char *source, const char *dest,
                           const struct producer_tree **tree) {
    const char *name;
    int err = removal_scope_find(s, src, slice_of(source), slice_of(dest), tree, &name);
    if (err == ERR_NOT_FOUND)
        return NULL;
    assert_int_equal(err, 0);
    return name;
}

static const char *find(const char *src, const char *dest) {
    const struct producer_tree *tree;
    return find_in(&scope, src, "nas", dest, &tree);
}

static void test_a_file_of_a_tree_with_its_own_destination(void **state) {
    const struct producer_tree *tree;
    (void)state;
    assert_string_equal(find_in(&scope, "/data/run/a/b", "nas", "s3://bkt/p/a/b", &tree), "a/b");
    assert_ptr_equal(tree, &trees[0]);
    assert_string_equal(find_in(&scope, "/data/run/sub/b", "nas", "s3://bkt/p/other/b", &tree), "b");
    assert_ptr_equal(tree, &trees[1]);
    assert_string_equal(find("/data/run/sub/b", "s3://bkt/p/sub/b"), "sub/b"); /* as a file of the first tree */
}

static void test_another_destination_is_not_its_own(void **state) {
    (void)state;
    assert_null(find("/data/run/a", "s3://bkt/p/b"));
    assert_null(find("/data/run/a", "s3://bkt/p/x/a"));
    assert_null(find("/data/run/a", "s3://other/p/a"));
    assert_null(find("/data/run/a", "s3://bkt/a"));
    assert_null(find("/data/run/a", "s3://bkt/p//a"));
    assert_null(find("/data/run/a", "file:///bkt/p/a"));
}

/* DEST is above a SRC. */
static void test_a_destination_in_a_tree_is_not_its_own(void **state) {
    struct producer_tree tree_of[] = {{OWNED("/d/src"), OWNED("file:///d"), 1}};
    const struct removal_scope s = {.trees = tree_of, .tree_count = 1, .source_name = OWNED("")};
    const struct producer_tree *tree;
    (void)state;
    assert_string_equal(find_in(&s, "/d/src/a", "", "file:///d/a", &tree), "a");
    assert_null(find_in(&s, "/d/src/src/a", "", "file:///d/src/a", &tree));
}

static void test_a_file_of_another_directory_is_not_its_own(void **state) {
    (void)state;
    assert_null(find("/data/a", "s3://bkt/p/a"));
    assert_null(find("/data/running/a", "s3://bkt/p/a"));
    assert_null(find("/data/runxa", "s3://bkt/p/a"));
    assert_null(find("/data/run", "s3://bkt/p/"));
    assert_null(find("/data/run/", "s3://bkt/p/"));
    assert_null(find("data/run/a", "s3://bkt/p/a"));
    assert_null(find("", "s3://bkt/p/a"));
}

/* Several hosts may share a journal. */
static void test_a_source_of_another_name_is_not_its_own(void **state) {
    const struct producer_tree *tree;
    (void)state;
    assert_null(find_in(&scope, "/data/run/a", "", "s3://bkt/p/a", &tree));
    assert_null(find_in(&scope, "/data/run/a", "nas2", "s3://bkt/p/a", &tree));
}

static void test_names_that_a_walk_never_makes_are_not_its_own(void **state) {
    static const char *const names[] = {"../a", "a/../../b", "./a", "a/./b", "a//b", "a/", "..", "."};
    char src[64], dest[64];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(src, sizeof src, "/data/run/%s", names[i]);
        snprintf(dest, sizeof dest, "s3://bkt/p/%s", names[i]);
        assert_null(find(src, dest));
    }
    assert_string_equal(find("/data/run/...", "s3://bkt/p/..."), "...");
    assert_string_equal(find("/data/run/.a/..b", "s3://bkt/p/.a/..b"), ".a/..b");
}

static void test_the_root_of_the_file_system(void **state) {
    struct producer_tree root = {OWNED("/"), OWNED("s3://bkt/"), 1};
    const struct removal_scope all = {.trees = &root, .tree_count = 1, .source_name = OWNED("")};
    const struct producer_tree *tree;
    (void)state;
    assert_string_equal(find_in(&all, "/etc/fstab", "", "s3://bkt/etc/fstab", &tree), "etc/fstab");
    assert_null(find_in(&all, "/", "", "s3://bkt/", &tree));
}

static void test_without_directories_there_are_none(void **state) {
    const struct removal_scope none = {.source_name = OWNED("nas")};
    const struct producer_tree *tree;
    (void)state;
    assert_null(find_in(&none, "/data/run/a", "nas", "s3://bkt/p/a", &tree));
}

UNIT_MAIN(cmocka_unit_test(test_a_file_of_a_tree_with_its_own_destination),
          cmocka_unit_test(test_another_destination_is_not_its_own),
          cmocka_unit_test(test_a_destination_in_a_tree_is_not_its_own),
          cmocka_unit_test(test_a_file_of_another_directory_is_not_its_own),
          cmocka_unit_test(test_a_source_of_another_name_is_not_its_own),
          cmocka_unit_test(test_names_that_a_walk_never_makes_are_not_its_own),
          cmocka_unit_test(test_the_root_of_the_file_system), cmocka_unit_test(test_without_directories_there_are_none))
