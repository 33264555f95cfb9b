#include "files.h"
#include "unit.h"

#include "system/fileid.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * root/        the allowed root
 *   file  sub/file  in -> sub/file  abs -> ROOT/file  out -> ../outside  up -> ..  loop -> loop  fifo  sock
 * outside      a file beside it; rootx/file: the directory name begins with that of the root
 */
static char base[4096], root[4200];
static struct stat opened;
static int root_fd;

static int setup(void **state) {
    (void)state;
    char template[] = "fileidXXXXXX";
    if (!mkdtemp(template) || chdir(template) || !getcwd(base, sizeof base))
        return -1;
    snprintf(root, sizeof root, "%s/root", base);
    assert_int_equal(mkdir("root", 0755) | mkdir("rootx", 0755) | mkdir("root/sub", 0755), 0);
    file_put_text("root/file", "hello");
    file_put_text("root/sub/file", "hello");
    file_put_text("outside", "hello");
    file_put_text("rootx/file", "hello");
    char absolute[4300];
    snprintf(absolute, sizeof absolute, "%s/file", root);
    assert_int_equal(symlink("sub/file", "root/in") | symlink(absolute, "root/abs") |
                         symlink("../outside", "root/out") | symlink("..", "root/up") | symlink("loop", "root/loop"),
                     0);
    assert_int_equal(mkfifo("root/fifo", 0644), 0);
    root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root_fd < 0;
}

static int teardown(void **state) {
    (void)state;
    close(root_fd);
    return chdir("..");
}

/* Opens root/NAME, closes it again and returns the result. */
static int try_open(const char *name) {
    char path[8400];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = -1, err = file_open_confined(root_fd, root, path, &fd, &opened);
    char bytes[5];
    if (err == 0) {
        assert_int_equal(read(fd, bytes, 5), 5);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        close(fd);
    } else {
        assert_int_equal(fd, -1);
    }
    return err;
}

static void test_opens_regular_files_beneath_the_root(void **state) {
    (void)state;
    assert_int_equal(try_open("file"), 0);
    assert_int_equal(try_open("sub/file"), 0);
    assert_int_equal(try_open("sub//file"), 0);
    assert_int_equal(try_open("sub/../file"), 0);
    assert_int_equal(try_open("in"), 0);
}

static void test_nothing_leads_out_of_the_root(void **state) {
    (void)state;
    assert_int_equal(try_open("out"), ERR_DENIED);
    assert_int_equal(try_open("abs"), ERR_DENIED); /* absolute, even to a file under the root */
    assert_int_equal(try_open("up/outside"), ERR_DENIED);
    assert_int_equal(try_open("../outside"), ERR_DENIED);
    assert_int_equal(try_open("sub/../../root/file"), ERR_DENIED);
    assert_int_equal(try_open("loop"), ERR_DENIED);
}

static void test_path_must_be_beneath_by_its_text(void **state) {
    (void)state;
    char path[8400];
    int fd;
    snprintf(path, sizeof path, "%s/rootx/file", base);
    assert_int_equal(file_open_confined(root_fd, root, path, &fd, &opened), ERR_DENIED);
    snprintf(path, sizeof path, "%s/outside", base);
    assert_int_equal(file_open_confined(root_fd, root, path, &fd, &opened), ERR_DENIED);
    assert_int_equal(file_open_confined(root_fd, root, "file", &fd, &opened), ERR_INVALID);
    assert_int_equal(file_open_confined(root_fd, root, "", &fd, &opened), ERR_INVALID);
}

static void test_only_regular_files(void **state) {
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "root/sock"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(try_open("sub"), ERR_INVALID);
    assert_int_equal(try_open(""), ERR_INVALID);
    assert_int_equal(try_open("fifo"), ERR_INVALID); /* and does not wait for a writer */
    assert_int_equal(try_open("sock"), ERR_INVALID);
    close(s);
    int fd;
    assert_int_equal(file_open_confined(-1, NULL, "/dev/null", &fd, &opened), ERR_INVALID);
}

static void test_missing_and_unreadable(void **state) {
    (void)state;
    assert_int_equal(try_open("none"), ERR_NOT_FOUND);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(try_open("file/none"), ERR_NOT_FOUND);
    assert_int_equal(chmod("root/file", 0), 0);
    if (geteuid() != 0)
        assert_int_equal(try_open("file"), ERR_DENIED);
}

static void test_other_forms_of_root(void **state) {
    (void)state;
    char path[8400];
    int fd;
    snprintf(path, sizeof path, "%s/out", root);
    assert_int_equal(file_open_confined(-1, NULL, path, &fd, &opened), 0); /* no root: links are followed */
    close(fd);
    assert_int_equal(file_open_confined(-1, "", path, &fd, &opened), 0);
    close(fd);
    int slash = open("/", O_PATH | O_CLOEXEC);
    assert_int_equal(file_open_confined(slash, "/", path, &fd, &opened), 0);
    close(fd);
    close(slash);
    snprintf(path, sizeof path, "%s/file", root); /* a root that is a file */
    int file = open(path, O_PATH | O_CLOEXEC);
    assert_int_equal(file_open_confined(file, path, path, &fd, &opened), 0);
    close(fd);
    close(file);
}

static void test_difference(void **state) {
    (void)state;
    struct stat st;
    struct source_identity a, b;
    assert_int_equal(stat("outside", &st), 0);
    fileid_from_stat(&st, &a);
    assert_int_equal(a.size, 5);
    assert_int_equal(a.mtime_ns, (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    b = a;
    assert_null(source_identity_difference(&a, &b, true));
    b.dev++;
    assert_null(source_identity_difference(&a, &b, false));
    assert_string_equal(source_identity_difference(&a, &b, true), "replaced by another file");
    b = a;
    b.ctime_ns++;
    assert_string_equal(source_identity_difference(&a, &b, true), "ctime moved");
    b.mtime_ns--;
    assert_string_equal(source_identity_difference(&a, &b, true), "mtime moved");
    b.size++;
    assert_string_equal(source_identity_difference(&a, &b, true), "size changed");
    b.ino++;
    assert_string_equal(source_identity_difference(&a, &b, true), "replaced by another file");
}

/* Files of /proc take the place of FUSE: their inode numbers are not known to be stable. */
static void test_an_inode_number_alone_counts_where_they_are_stable(void **state) {
    (void)state;
    struct stat st;
    struct source_identity planned;
    const char *difference;
    int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        skip();
    assert_int_equal(fstat(fd, &st), 0);
    fileid_from_stat(&st, &planned);
    assert_false(fileid_inodes_are_stable(fd));
    planned.ino++;
    assert_int_equal(fileid_compare(&planned, fd, true, &difference), 0);
    assert_null(difference);
    planned.ctime_ns++;
    assert_int_equal(fileid_compare(&planned, fd, true, &difference), 0);
    assert_string_equal(difference, "replaced by another file");
    planned.ino = 0; /* not compared */
    planned.ctime_ns--;
    assert_null(source_identity_difference(&planned, &planned, true));
    planned.ctime_ns++;
    assert_int_equal(fileid_compare(&planned, fd, true, &difference), 0);
    assert_string_equal(difference, "ctime moved");
    close(fd);
    assert_int_equal(fileid_compare(&planned, fd, true, &difference), ERR_IO);
}

static void test_the_end_of_a_file_is_where_its_size_says(void **state) {
    (void)state;
    char why[200] = "";
    int fd = open("outside", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fileid_check_end(fd, 5, why, sizeof why), 0);
    assert_string_equal(why, "");
    assert_int_equal(fileid_check_end(fd, 4, why, sizeof why), ERR_IO);
    assert_non_null(strstr(why, "it has more content than its size of 4 bytes"));
    close(fd);
    assert_int_equal(fileid_check_end(fd, 5, why, sizeof why), ERR_IO);
    assert_string_equal(why, "Bad file descriptor");
}

static void test_a_root_may_end_with_slashes(void **state) {
    (void)state;
    char path[8400], with_slashes[4300];
    int fd;
    snprintf(with_slashes, sizeof with_slashes, "%s//", root);
    snprintf(path, sizeof path, "%s/sub/file", root);
    assert_int_equal(file_open_confined(root_fd, with_slashes, path, &fd, &opened), 0);
    close(fd);
    assert_int_equal(file_open_confined(root_fd, with_slashes, root, &fd, &opened), ERR_INVALID); /* a directory */
    assert_int_equal(errno, EISDIR);
    assert_int_equal(try_open("fifo"), ERR_INVALID);
    assert_int_equal(errno, EINVAL);
}

static void test_an_unknown_file_system_has_no_stable_inodes(void **state) {
    (void)state;
    assert_false(fileid_inodes_are_stable(-1));
}

static void test_boot_id(void **state) {
    (void)state;
    const char *id = boot_id();
    assert_int_equal(strlen(id), 32);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    assert_string_not_equal(id, "00000000000000000000000000000000");
    assert_ptr_equal(id, boot_id());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_opens_regular_files_beneath_the_root), TEST(test_nothing_leads_out_of_the_root),
          TEST(test_path_must_be_beneath_by_its_text), TEST(test_only_regular_files), TEST(test_missing_and_unreadable),
          TEST(test_other_forms_of_root), TEST(test_difference),
          TEST(test_an_inode_number_alone_counts_where_they_are_stable), TEST(test_boot_id),
          TEST(test_the_end_of_a_file_is_where_its_size_says), TEST(test_a_root_may_end_with_slashes),
          TEST(test_an_unknown_file_system_has_no_stable_inodes))
