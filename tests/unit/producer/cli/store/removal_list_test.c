/* The objects without a source, from a journal and a tree. */
#include "capture.h"
#include "journal_lines.h"
#include "producer/cli/store/removal_list.h"
#include "system/log.h"

#define DEST "s3://bkt/p"

static char top[4096], other[4096], dests[][32] = {DEST, DEST "/o"}, no_name[] = "", store[] = "http://e";
static struct producer_tree trees[2];
static struct removal_scope scope;
static struct removal_list *list;

static int set_up(void **state) {
    struct stat st;
    char here[4000];
    log_setup("test", LOG_ERROR, false);
    lines_setup(state);
    assert_non_null(getcwd(here, sizeof here));
    assert_true(mkdir("src", 0700) == 0 && mkdir("other", 0700) == 0 && stat("src", &st) == 0);
    snprintf(top, sizeof top, "%s/src", here);
    snprintf(other, sizeof other, "%s/other", here);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stat(i ? other : top, &st), 0);
        trees[i] =
            (struct producer_tree){.path = i ? other : top, .dest = dests[i], .dev = st.st_dev, .ino = st.st_ino};
    }
    scope = (struct removal_scope){.trees = trees, .tree_count = 1, .source_name = no_name, .endpoint = store};
    return 0;
}

static int tear_down(void **state) {
    removal_list_close(&list);
    assert_null(list);
    assert_int_equal(system("rm -r src other"), 0);
    return lines_teardown(state);
}

static void put_from(uint8_t id, const char *src, const char *dest, const char *endpoint) {
    struct record r = {.ev = EV_PUT,
                       .has = HAS_UPLOAD | HAS_DEST | HAS_SRC | HAS_CRC | HAS_WORKER | HAS_MS,
                       .upload = {{id}},
                       .file.size = id};
    r.src = slice_of(src);
    r.dest = slice_of(dest);
    r.worker = slice_of("h/1");
    r.endpoint = slice_of(endpoint);
    lines_add(&test_journal, &r);
}

/* The file of this name was uploaded. */
static void put(uint8_t id, const char *name) {
    char src[8192], dest[256];
    snprintf(src, sizeof src, "%s/%s", top, name);
    snprintf(dest, sizeof dest, DEST "/%s", name);
    put_from(id, src, dest, "http://e");
}

static void removal(enum record_ev ev, uint8_t id, const char *name) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD | HAS_DEST, .upload = {{id}}};
    char dest[256];
    snprintf(dest, sizeof dest, DEST "/%s", name);
    r.dest = slice_of(dest);
    lines_add(&test_journal, &r);
}

static void open_it(void) {
    removal_list_close(&list);
    assert_int_equal(removal_list_open(&list, &scope, test_journal.dir), 0);
}

static uint64_t count(void) {
    uint64_t n;
    open_it();
    assert_int_equal(removal_list_count(list, UINT64_MAX, &n), 0);
    return n;
}

static void test_objects_whose_files_are_gone(void **state) {
    struct removal_candidate c;
    (void)state;
    put(1, "a");
    put(2, "b");
    put(3, "dir/c");
    file_put_text("src/a", "x");
    assert_int_equal(count(), 2);
    assert_int_equal(removal_list_rewind(list), 0);
    assert_int_equal(removal_list_next(list, &c), 0);
    assert_int_equal(c.object.upload.b[0], 2);
    assert_string_equal(c.dest, DEST "/b");
    assert_string_equal(c.name, "b");
    assert_true(c.object.size == 2 && c.tree == &trees[0] && c.object.since_us > 0);
    assert_int_equal(removal_list_next(list, &c), 0);
    assert_string_equal(c.name, "dir/c");
    file_put_text("src/b", "x"); /* it comes back between two passes */
    assert_int_equal(removal_list_next(list, &c), ERR_NOT_FOUND);
    assert_int_equal(removal_list_rewind(list), 0);
    assert_int_equal(removal_list_next(list, &c), 0);
    assert_string_equal(c.name, "dir/c");
}

static void test_interrupted_removals_go_on_and_finished_ones_are_over(void **state) {
    (void)state;
    put(1, "a");
    put(2, "b");
    removal(EV_DELETING, 1, "a");
    removal(EV_DELETING, 2, "b");
    removal(EV_DELETE, 2, "b");
    assert_int_equal(count(), 1);
}

static void test_objects_of_others_are_no_candidates(void **state) {
    char src[8192];
    (void)state;
    put_from(1, "/elsewhere/a", DEST "/a", "http://e");
    snprintf(src, sizeof src, "%s/b", top);
    put_from(2, src, DEST "/c", "http://e");     /* another name */
    put_from(3, src, "s3://bkt/b", "http://e");  /* outside of the destination */
    put_from(4, src, DEST "/b", "http://other"); /* another store */
    put_from(5, src, "s3://bkt2/p/b", "http://e");
    assert_int_equal(count(), 0);
}

static void test_objects_of_another_store_are_no_candidates(void **state) {
    char src[8192];
    (void)state;
    snprintf(src, sizeof src, "%s/a", top);
    put_from(1, src, DEST "/a", "http://other");
    assert_int_equal(count(), 0);
    scope.endpoint = dests[0];
    assert_int_equal(count(), 0);
}

/* The file of this record is gone, and another one took its place at the destination. */
static void test_only_the_last_upload_at_a_destination_counts(void **state) {
    (void)state;
    put(1, "a");
    put_from(2, "/elsewhere/a", DEST "/a", "http://e");
    assert_int_equal(count(), 0);
    put(3, "a");
    assert_int_equal(count(), 1);
}

static void test_several_trees(void **state) {
    char src[8192];
    (void)state;
    put(1, "a");
    snprintf(src, sizeof src, "%s/a", other);
    put_from(2, src, DEST "/o/a", "http://e");
    assert_int_equal(count(), 1);
    scope.tree_count = 2;
    assert_int_equal(count(), 2);
    scope.tree_count = 0; /* only single files are uploaded */
    assert_int_equal(count(), 0);
}

static void test_more_than_the_limit_are_refused(void **state) {
    static struct capture seen;
    uint64_t n;
    (void)state;
    put(1, "a");
    put(2, "b");
    open_it();
    assert_int_equal(removal_list_count(list, 2, &n), 0);
    capture_begin(&seen, STDERR_FILENO);
    int err = removal_list_count(list, 1, &n);
    capture_end(&seen);
    assert_int_equal(err, ERR_LIMIT);
    assert_non_null(strstr(seen.text, "--max-delete: 2 objects without a source, more than 1; none is removed\n"));
}

/* A line that cannot be read may be about a newer upload. */
static void test_a_damaged_journal_gives_none(void **state) {
    static struct capture seen;
    (void)state;
    put(1, "a");
    fputs("{nonsense}\n", test_journal.file);
    put(2, "b");
    capture_begin(&seen, STDERR_FILENO);
    int err = removal_list_open(&list, &scope, test_journal.dir);
    capture_end(&seen);
    assert_int_equal(err, ERR_DAMAGED);
    assert_null(list);
    assert_non_null(strstr(seen.text, "the journal is damaged; no object is removed"));
}

static void test_without_a_journal_there_are_none(void **state) {
    static struct capture seen;
    (void)state;
    assert_int_equal(mkdir("other/empty", 0700), 0);
    capture_begin(&seen, STDERR_FILENO);
    int absent = removal_list_open(&list, &scope, "other/absent"),
        empty = removal_list_open(&list, &scope, "other/empty");
    assert_string_equal(capture_end(&seen), "");
    assert_int_equal(absent, ERR_NOT_FOUND);
    assert_int_equal(empty, ERR_NOT_FOUND);
    assert_int_equal(dir_count("other/empty"), 0);
}

static void test_a_tree_that_was_unmounted_ends_the_pass(void **state) {
    static struct capture seen;
    uint64_t n;
    (void)state;
    put(1, "a");
    trees[0].dev++;
    open_it();
    capture_begin(&seen, STDERR_FILENO);
    int err = removal_list_count(list, UINT64_MAX, &n);
    capture_end(&seen);
    assert_int_equal(err, ERR_LOST);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
UNIT_MAIN(TEST(test_objects_whose_files_are_gone), TEST(test_interrupted_removals_go_on_and_finished_ones_are_over),
          TEST(test_objects_of_others_are_no_candidates), TEST(test_objects_of_another_store_are_no_candidates),
          TEST(test_only_the_last_upload_at_a_destination_counts), TEST(test_several_trees),
          TEST(test_more_than_the_limit_are_refused), TEST(test_a_damaged_journal_gives_none),
          TEST(test_without_a_journal_there_are_none), TEST(test_a_tree_that_was_unmounted_ends_the_pass))
