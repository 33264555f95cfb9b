/* Directories that fold case, or store names in another spelling. The linker wraps fstatat, fstatfs and fdopendir
 * (tests.cmake): a lookup also finds a name in another case, the name "alias" finds the file "stored", and a directory
 * may not be listed. */
#include "edge.h"
#include "files.h"
#include "unit.h"

#include "uploader/file/file_spelling.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TEMP ".chunklift-ab.part"
#define COMPOSED "caf\xc3\xa9"
#define DECOMPOSED "cafe\xcc\x81"

static struct {
    bool folds;
    const char *alias, *stored;
    long fs_type;
    bool is_unlisted, only_once; /* listing fails; the first time only */
    unsigned lookups;
} disk;

int __real_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags);
int __wrap_fstatfs(int fd, struct statfs *fs);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);

DIR *__wrap_fdopendir(int fd) {
    if (!disk.is_unlisted)
        return __real_fdopendir(fd);
    disk.is_unlisted = !disk.only_once;
    errno = ENOMEM;
    return NULL;
}

/* Finds the entry of the same name in another case. */
static int stat_folded(int dir_fd, const char *name, struct stat *st) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = -1;
    DIR *dir = __real_fdopendir(fd);
    assert_non_null(dir);
    for (struct dirent *e; rc == -1 && (e = readdir(dir));)
        if (strcasecmp(e->d_name, name) == 0)
            rc = __real_fstatat(dir_fd, e->d_name, st, 0);
    closedir(dir);
    errno = ENOENT;
    return rc;
}

int __wrap_fstatat(int dir_fd, const char *name, struct stat *st, int flags) {
    disk.lookups++;
    if (disk.alias && strcmp(name, disk.alias) == 0)
        name = disk.stored;
    int rc = __real_fstatat(dir_fd, name, st, flags);
    return rc == -1 && disk.folds ? stat_folded(dir_fd, name, st) : rc;
}

int __wrap_fstatfs(int fd, struct statfs *fs) {
    (void)fd;
    memset(fs, 0, sizeof *fs);
    fs->f_type = disk.fs_type;
    return disk.fs_type ? 0 : -1;
}

static struct file_allow *allow;
static struct file_spelling spelling;
static char root[TEMP_DIR_SIZE], url[TEMP_DIR_SIZE + 300];

static int setup(void **state) {
    (void)state;
    const char *urls[] = {url};
    memset(&disk, 0, sizeof disk);
    memset(&spelling, 0, sizeof spelling);
    temp_dir_enter(root);
    snprintf(url, sizeof url, "file://%s/", root);
    return file_allow_new(&allow, urls, 1);
}

static int teardown(void **state) {
    (void)state;
    file_allow_destroy(&allow);
    return temp_dir_leave(root);
}

/* The destination of this name under the root. The caller closes it. */
static struct file_path open_dest(const char *name) {
    struct file_path p;
    snprintf(url, sizeof url, "file://%s/%s", root, name);
    assert_int_equal(file_path_open(allow, slice_of(url), FILE_PATH_CREATE, &p), 0);
    return p;
}

static void probe(const struct file_path *p) {
    int fd = openat(p->dir_fd, TEMP, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    file_spelling_probe(&spelling, p, TEMP);
}

/* The other spelling of an existing destination; NULL: it has none. */
static const char *other_spelling(const char *name) {
    static char other[FILE_SPELLING_SIZE];
    struct file_path p = open_dest(name);
    probe(&p);
    bool differs = file_spelling_differs(&spelling, allow, slice_of(url), &p, other);
    file_path_close(&p);
    return differs ? other : NULL;
}

/* The spelling under which the directory lists a file that was created at p; NULL: the given one. */
static const char *lost_spelling(const struct file_path *p) {
    static char other[FILE_SPELLING_SIZE];
    return file_spelling_is_lost(&spelling, p, other) ? other : NULL;
}

static void test_a_name_in_another_case_is_found(void **state) {
    (void)state;
    disk.folds = true;
    file_put_text("README", "");
    file_put_text("other", "");
    assert_string_equal(other_spelling("readme"), "README");
    assert_null(other_spelling("README"));
    assert_null(other_spelling("new"));
}

static void test_a_directory_in_another_case_is_found(void **state) {
    (void)state;
    disk.folds = true;
    assert_int_equal(mkdir("Docs", 0700), 0);
    file_put_text("Docs/x", "");
    assert_null(other_spelling("Docs/x"));
    assert_string_equal(other_spelling("Docs/X"), "x");
    /* the lookup of the directory itself is the file system's; here both names lead to it */
    assert_int_equal(symlink("Docs", "docs"), 0);
    assert_null(other_spelling("docs/x"));
}

static void test_names_that_share_a_part_are_no_spellings(void **state) {
    (void)state;
    disk.folds = true;
    file_put_text("readme", "");
    file_put_text("readme.txt", "");
    file_put_text("READ", "");
    assert_string_equal(other_spelling("ReadMe"), "readme");
    assert_string_equal(other_spelling("rEAD"), "READ");
}

static void test_a_directory_that_keeps_case_is_not_searched(void **state) {
    (void)state;
    file_put_text("README", "");
    disk.alias = "readme"; /* would be found by a search */
    disk.stored = "README";
    assert_null(other_spelling("readme"));
    assert_false(spelling.folds);
}

/* The probe's name in upper case: only lower case letters are changed. */
static void test_the_probe_looks_for_the_name_in_upper_case(void **state) {
    (void)state;
    struct file_path p = open_dest("x");
    disk.alias = ".CHUNKLIFT-AZ{`.PART";
    disk.stored = ".";
    file_spelling_probe(&spelling, &p, ".chunklift-az{`.part");
    assert_true(spelling.folds);
    file_path_close(&p);
}

/* Any file may serve: also one in capitals, as at the removal of a file. */
static void test_the_probe_exchanges_upper_and_lower_case(void **state) {
    (void)state;
    struct file_path p = open_dest("x");
    disk.alias = "readME";
    disk.stored = ".";
    file_spelling_probe(&spelling, &p, "READme");
    assert_true(spelling.known && spelling.folds);
    file_path_close(&p);
}

static void test_a_name_without_letters_shows_nothing(void **state) {
    (void)state;
    struct file_path p = open_dest("x");
    disk.folds = true;
    file_spelling_probe(&spelling, &p, "2026-11-30");
    assert_false(spelling.known || spelling.folds);
    probe(&p); /* looks again */
    assert_true(spelling.known && spelling.folds);
    file_path_close(&p);
}

static void test_a_directory_is_probed_once(void **state) {
    (void)state;
    struct file_path first = open_dest("x"), below = open_dest("d/x");
    disk.lookups = 0;
    probe(&first);
    probe(&first);
    assert_int_equal(disk.lookups, 1);
    disk.folds = true;
    probe(&below);
    assert_int_equal(disk.lookups, 2);
    assert_true(spelling.folds);
    disk.folds = false;
    probe(&first);
    assert_false(spelling.folds);
    file_path_close(&first);
    file_path_close(&below);
}

static void test_a_temporary_name_that_is_too_long_shows_no_folding(void **state) {
    (void)state;
    char name[NAME_MAX + 2];
    struct file_path p = open_dest("x");
    disk.folds = true;
    memset(name, 'n', sizeof name - 1);
    name[NAME_MAX + 1] = 0;
    file_spelling_probe(&spelling, &p, name);
    assert_false(spelling.folds);
    file_path_close(&p);
}

/* The composed name finds the file with the decomposed one: a file system that normalises Unicode. */
static void test_a_normalised_name_is_found_by_its_inode(void **state) {
    (void)state;
    disk.fs_type = 0x4244; /* HFS */
    file_put_text("a", "");
    file_put_text(DECOMPOSED, "");
    file_put_text("z", "");
    disk.alias = COMPOSED;
    disk.stored = DECOMPOSED;
    assert_string_equal(other_spelling(COMPOSED), DECOMPOSED);
    assert_null(other_spelling(DECOMPOSED));
    assert_null(other_spelling("a")); /* ASCII names need no search */
}

static void test_an_ascii_name_is_not_searched_without_folding(void **state) {
    (void)state;
    disk.fs_type = 0x4244;
    file_put_text("stored", "");
    disk.alias = "alias";
    disk.stored = "stored";
    assert_null(other_spelling("alias"));
    /* DEL is the last character of ASCII */
    disk.alias = "\x7f";
    assert_null(other_spelling("\x7f"));
    disk.alias = "\x80";
    assert_string_equal(other_spelling("\x80"), "stored");
}

static void test_file_systems_that_compare_bytes_are_not_searched(void **state) {
    (void)state;
    static const long types[] = {EXT4_SUPER_MAGIC, 0x58465342 /* XFS */, BTRFS_SUPER_MAGIC, TMPFS_MAGIC};
    file_put_text(DECOMPOSED, "");
    disk.alias = COMPOSED;
    disk.stored = DECOMPOSED;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        disk.fs_type = types[i];
        assert_null(other_spelling(COMPOSED));
    }
    disk.fs_type = 0; /* the type is not known: fstatfs fails */
    assert_non_null(other_spelling(COMPOSED));
    disk.fs_type = EXT4_SUPER_MAGIC;
    disk.folds = true; /* an ext4 directory with casefold normalises too */
    spelling.known = false;
    assert_string_equal(other_spelling(COMPOSED), DECOMPOSED);
}

static void test_a_name_that_is_stored_in_another_spelling_is_lost(void **state) {
    (void)state;
    disk.folds = true;
    file_put_text("readme.txt", "");
    struct file_path p = open_dest("README.TXT");
    probe(&p);
    assert_string_equal(lost_spelling(&p), "readme.txt");
    file_path_close(&p);
    p = open_dest("readme.txt");
    assert_null(lost_spelling(&p));
    file_path_close(&p);
}

static void test_no_name_is_lost_where_case_counts(void **state) {
    (void)state;
    file_put_text("readme", "");
    disk.alias = "README";
    disk.stored = "readme";
    struct file_path p = open_dest("README");
    probe(&p);
    assert_null(lost_spelling(&p));
    file_path_close(&p);
}

/* A name with small and capital letters that is listed as given shows that the file system keeps them. */
static void test_a_mixed_name_shows_that_case_is_kept(void **state) {
    (void)state;
    static const char *const silent[] = {"az", "AZ", "0{@["}; /* would be listed so on a system with one case, too */
    disk.folds = true;
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        file_put_text(silent[i], "");
        struct file_path p = open_dest(silent[i]);
        probe(&p);
        assert_null(lost_spelling(&p));
        assert_int_equal(spelling.keeps_count, 0);
        file_path_close(&p);
        unlink(silent[i]);
    }
    file_put_text("aZ", "");
    struct file_path p = open_dest("aZ");
    assert_null(lost_spelling(&p));
    assert_int_equal(spelling.keeps_count, 1);
    disk.lookups = 0;
    assert_null(lost_spelling(&p)); /* known now */
    assert_int_equal(disk.lookups, 0);
    assert_int_equal(spelling.keeps_count, 1);
    spelling.dev++; /* another file system */
    assert_null(lost_spelling(&p));
    assert_int_equal(spelling.keeps_count, 2);
    file_path_close(&p);
}

static void test_a_mixed_name_uses_the_first_and_last_letters(void **state) {
    (void)state;
    static const char *const mixed[] = {"aA", "zA", "aZ", "Za"};
    disk.folds = true;
    for (size_t i = 0; i < sizeof mixed / sizeof *mixed; i++) {
        spelling = (struct file_spelling){0};
        file_put_text(mixed[i], "");
        struct file_path p = open_dest(mixed[i]);
        probe(&p);
        assert_null(lost_spelling(&p));
        assert_int_equal(spelling.keeps_count, 1);
        file_path_close(&p);
        unlink(mixed[i]);
    }
}

static void test_the_list_of_file_systems_has_an_end(void **state) {
    (void)state;
    disk.folds = true;
    file_put_text("aZ", "");
    struct file_path p = open_dest("aZ");
    probe(&p);
    for (size_t i = 0; i < FILE_SPELLING_DEVICES + 2; i++) {
        spelling.dev = 1000 + i;
        assert_null(lost_spelling(&p));
    }
    assert_int_equal(spelling.keeps_count, FILE_SPELLING_DEVICES);
    file_path_close(&p);
}

/* --- of a file that is to be removed --- */

/* How the names of an existing destination are listed. The probe has its own name. */
static int match(const char *name) {
    struct file_path p = open_dest(name);
    file_spelling_probe(&spelling, &p, p.name);
    int found = file_spelling_match(&spelling, allow, slice_of(url), &p);
    file_path_close(&p);
    return found;
}

static void test_a_match_tells_another_case_from_another_name(void **state) {
    (void)state;
    disk.folds = true;
    file_put_text("README", "");
    file_put_text(DECOMPOSED, "");
    assert_int_equal(match("README"), SPELLING_SAME);
    assert_int_equal(match("readme"), SPELLING_OTHER_CASE);
    disk.alias = COMPOSED;
    disk.stored = DECOMPOSED;
    assert_int_equal(match(COMPOSED), SPELLING_OTHER);
}

static void test_a_match_needs_no_search_where_case_counts(void **state) {
    (void)state;
    disk.fs_type = EXT4_SUPER_MAGIC;
    file_put_text("README", "");
    disk.is_unlisted = true;
    assert_int_equal(match("README"), SPELLING_SAME);
}

/* Names without letters show no folding, but their directories may have another spelling. */
static void test_a_match_searches_where_the_probe_shows_nothing(void **state) {
    (void)state;
    assert_int_equal(mkdir("sub", 0700), 0);
    file_put_text("sub/12", "");
    file_put_text("34", "");
    assert_int_equal(match("34"), SPELLING_SAME);
    assert_int_equal(match("sub/12"), SPELLING_SAME);
    disk.alias = "1_";
    disk.stored = "12";
    assert_int_equal(match("sub/1_"), SPELLING_OTHER);
    disk.is_unlisted = true;
    assert_true(match("34") < 0);
}

/* Its entries are not known, so no other file is named. */
static void test_a_directory_that_cannot_be_listed_shows_no_spelling(void **state) {
    (void)state;
    disk.folds = disk.is_unlisted = true;
    file_put_text("README", "");
    unsigned before = descriptors_count();
    assert_null(other_spelling("readme"));
    assert_int_equal(descriptors_count(), before);
}

static void test_a_directory_that_cannot_be_listed_hides_no_spelling_below_it(void **state) {
    (void)state;
    assert_int_equal(mkdir("docs", 0700), 0);
    file_put_text("docs/README", "");
    disk.folds = disk.is_unlisted = disk.only_once = true;
    assert_string_equal(other_spelling("docs/readme"), "README");
    assert_false(disk.is_unlisted);
}

static void test_a_destination_is_read_to_its_end(void **state) {
    (void)state;
    char other[FILE_SPELLING_SIZE];
    struct file_path p = open_dest("x");
    assert_false(file_spelling_differs(&spelling, allow, edge_text(url), &p, other));
    file_path_close(&p);
}

/* "." and ".." are in no list of a directory that is meant here, and name no file. */
static void test_dots_are_no_spellings(void **state) {
    (void)state;
    char other[FILE_SPELLING_SIZE];
    struct file_path p = open_dest("x");
    disk.folds = true;
    file_put_text("x", "");
    probe(&p);
    snprintf(url, sizeof url, "file://%s/./x", root);
    assert_false(file_spelling_differs(&spelling, allow, slice_of(url), &p, other));
    file_put_text(".X", "");
    assert_string_equal(other_spelling(".x"), ".X"); /* a name of two characters */
    file_path_close(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_a_name_in_another_case_is_found), TEST(test_a_directory_in_another_case_is_found),
          TEST(test_names_that_share_a_part_are_no_spellings), TEST(test_a_directory_that_keeps_case_is_not_searched),
          TEST(test_the_probe_looks_for_the_name_in_upper_case), TEST(test_a_directory_is_probed_once),
          TEST(test_the_probe_exchanges_upper_and_lower_case), TEST(test_a_name_without_letters_shows_nothing),
          TEST(test_a_temporary_name_that_is_too_long_shows_no_folding),
          TEST(test_a_normalised_name_is_found_by_its_inode), TEST(test_an_ascii_name_is_not_searched_without_folding),
          TEST(test_file_systems_that_compare_bytes_are_not_searched),
          TEST(test_a_name_that_is_stored_in_another_spelling_is_lost), TEST(test_no_name_is_lost_where_case_counts),
          TEST(test_a_mixed_name_shows_that_case_is_kept), TEST(test_a_mixed_name_uses_the_first_and_last_letters),
          TEST(test_the_list_of_file_systems_has_an_end), TEST(test_a_match_tells_another_case_from_another_name),
          TEST(test_a_match_needs_no_search_where_case_counts),
          TEST(test_a_match_searches_where_the_probe_shows_nothing),
          TEST(test_a_directory_that_cannot_be_listed_shows_no_spelling),
          TEST(test_a_directory_that_cannot_be_listed_hides_no_spelling_below_it),
          TEST(test_a_destination_is_read_to_its_end), TEST(test_dots_are_no_spellings))
