/* The limit of open files. Each test is a child process, because a lowered hard limit stays. */
#include "capture.h"
#include "system/descriptors.h"
#include "unit.h"
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 65536

static bool limit_set(rlim_t soft, rlim_t hard) {
    return setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = soft, .rlim_max = hard}) == 0;
}

static rlim_t limit_now(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

/* The exit status of a child that runs body. */
static int in_child(int (*body)(void)) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(body());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int raise_to_hard(void) {
    if (!limit_set(100, 200))
        return 1;
    descriptors_raise();
    return limit_now() == 200 ? 0 : 2;
}

static int raise_to_most(void) {
    if (!limit_set(100, MOST + 10))
        return 77;
    descriptors_raise();
    if (limit_now() != MOST)
        return 1;
    closefrom(3);
    if (!limit_set(MOST + 5, MOST + 10) || descriptors_free() != MOST - 3)
        return 2;
    descriptors_raise();
    return limit_now() == MOST + 5 ? 0 : 3; /* never lowered */
}

static void test_the_limit_is_raised_as_far_as_allowed(void **state) {
    (void)state;
    assert_int_equal(in_child(raise_to_hard), 0);
    int status = in_child(raise_to_most);
    assert_true(status == 0 || status == 77); /* 77: the hard limit of this process is lower */
}

static int count_free(void) {
    closefrom(3);
    if (!limit_set(50, 50) || descriptors_free() != 47)
        return 1;
    int fd = dup(0);
    if (descriptors_free() != 46)
        return 2;
    close(fd);
    closefrom(0);
    return descriptors_free() == 50 ? 0 : 3;
}

static void test_free_descriptors_are_those_of_the_limit_that_are_not_open(void **state) {
    (void)state;
    assert_int_equal(in_child(count_free), 0);
}

/* /proc cannot be read then. */
static int more_open_than_allowed(void) {
    while (dup(0) < 20)
        ;
    return limit_set(5, 5) && descriptors_free() == 0 ? 0 : 1;
}

static void test_none_is_free_when_more_are_open_than_allowed(void **state) {
    (void)state;
    assert_int_equal(in_child(more_open_than_allowed), 0);
}

static int require(void) {
    static struct capture said;
    closefrom(3);
    if (!limit_set(50, 50) || descriptors_require(47) != 0)
        return 1;
    capture_begin(&said, STDERR_FILENO);
    size_t taken = 47 - descriptors_free(); /* by the capture itself */
    int err = descriptors_require(48 - taken);
    capture_end(&said);
    if (err != ERR_DESCRIPTORS)
        return 2;
    return strcmp(said.text, "chunklift: the limit of open files is 50, and at least 51 are needed; raise it "
                             "(ulimit -n, LimitNOFILE=)\n") == 0
               ? 0
               : 3;
}

static void test_one_descriptor_too_few_is_an_error(void **state) {
    (void)state;
    assert_int_equal(in_child(require), 0);
}

UNIT_MAIN(cmocka_unit_test(test_the_limit_is_raised_as_far_as_allowed),
          cmocka_unit_test(test_free_descriptors_are_those_of_the_limit_that_are_not_open),
          cmocka_unit_test(test_none_is_free_when_more_are_open_than_allowed),
          cmocka_unit_test(test_one_descriptor_too_few_is_an_error))
