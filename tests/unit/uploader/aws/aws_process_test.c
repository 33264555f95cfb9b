/* The program that prints credentials: its output, its end, its time. The linker wraps the clock, poll, pipe2 and waitpid
 * (tests.cmake). */
#include "files.h"
#include "unit.h"

#include "system/clock.h"
#include "uploader/aws/aws_source.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}"
#define TIMEOUT_MS 30000

static struct {
    uint64_t offset_ms; /* added to the clock */
    int poll_error, pipe_error;
    bool reaped_by_another;
    unsigned polls;
} world;

uint64_t __real_clock_ms(void);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_pipe2(int ends[2], int flags);
pid_t __real_waitpid(pid_t pid, int *status, int options);
uint64_t __wrap_clock_ms(void);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_pipe2(int ends[2], int flags);
pid_t __wrap_waitpid(pid_t pid, int *status, int options);

uint64_t __wrap_clock_ms(void) {
    return __real_clock_ms() + world.offset_ms;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    world.polls++;
    errno = world.poll_error;
    return world.poll_error ? -1 : __real_poll(fds, count, timeout_ms);
}

int __wrap_pipe2(int ends[2], int flags) {
    errno = world.pipe_error;
    return world.pipe_error ? -1 : __real_pipe2(ends, flags);
}

pid_t __wrap_waitpid(pid_t pid, int *status, int options) {
    pid_t found = __real_waitpid(pid, status, options);
    errno = ECHILD;
    return found > 0 && world.reaped_by_another ? -1 : found;
}

static struct aws_source *source;
static struct aws_fresh_keys keys;
static char why[200];

static int setup(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    source = NULL;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    world.reaped_by_another = false;
    if (source)
        source->ops->destroy(source);
    aws_fresh_keys_release(&keys);
    return 0;
}

static void use(const char *command) {
    if (source)
        source->ops->destroy(source);
    aws_fresh_keys_release(&keys);
    assert_int_equal(aws_process_source_new(&source, command), 0);
}

static int step(int wait_ms) {
    why[0] = 0;
    return source->ops->step(source, wait_ms, &keys, why, sizeof why);
}

static int run(const char *command) {
    int err;
    use(command);
    uint64_t deadline_ms = __real_clock_ms() + 20000;
    while ((err = step(50)) == ERR_AGAIN)
        assert_true(__real_clock_ms() < deadline_ms);
    return err;
}

static void test_the_output_of_a_program_is_read_to_its_end(void **state) {
    (void)state;
    unsigned before = descriptors_count();
    assert_int_equal(run("/bin/sh -c 'printf \"{\"; printf %s \"$1\"' x "
                         "'\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'"),
                     0);
    assert_string_equal(keys.access_key, "A");
    assert_string_equal(keys.secret_key, "S");
    assert_int_equal(descriptors_count(), before);
}

static void test_a_program_can_be_run_again(void **state) {
    (void)state;
    file_put_text("keys.json", KEYS);
    assert_int_equal(run("cat keys.json"), 0);
    aws_fresh_keys_release(&keys);
    int err;
    while ((err = step(50)) == ERR_AGAIN)
        continue;
    assert_int_equal(err, 0);
    assert_string_equal(keys.access_key, "A");
}

static void test_a_program_that_is_missing(void **state) {
    (void)state;
    unsigned before = descriptors_count();
    assert_int_equal(run("/no/such/program"), ERR_NOT_FOUND);
    assert_string_equal(why, "cannot be started: No such file or directory");
    file_put_text("no-program", "");
    assert_int_equal(run("./no-program"), ERR_IO);
    assert_string_equal(why, "cannot be started: Permission denied");
    assert_int_equal(run("'unclosed"), ERR_INVALID);
    assert_string_equal(why, "a quote in it is not closed");
    assert_int_equal(descriptors_count(), before);
}

static void test_a_lack_of_descriptors(void **state) {
    (void)state;
    world.pipe_error = EMFILE;
    assert_int_equal(run("true"), ERR_IO);
    assert_string_equal(why, "no pipe: Too many open files");
}

static void test_a_program_that_fails(void **state) {
    (void)state;
    assert_int_equal(run("/bin/sh -c 'cat keys.json; exit 1'"), ERR_IO);
    assert_string_equal(why, "ended with exit status 1");
    assert_null(keys.access_key);
    assert_int_equal(run("/bin/sh -c 'kill -9 $$'"), ERR_IO);
    assert_string_equal(why, "was ended by signal 9");
    world.reaped_by_another = true;
    assert_int_equal(run("true"), ERR_IO);
    assert_string_equal(why, "its exit status is lost");
}

/* The limit is the size of the document: exactly 64 KiB are too many, because the end must follow. */
static void test_output_has_a_limit(void **state) {
    (void)state;
    char command[200];
    snprintf(command, sizeof command,
             "/bin/sh -c 'printf %%s \"$1\"; head -c %zu /dev/zero | tr \"\\000\" \" \"' x '%s'",
             AWS_JSON_MAX - strlen(KEYS) - 1, KEYS);
    assert_int_equal(run(command), 0);
    snprintf(command, sizeof command,
             "/bin/sh -c 'printf %%s \"$1\"; head -c %zu /dev/zero | tr \"\\000\" \" \"' x '%s'",
             AWS_JSON_MAX - strlen(KEYS), KEYS);
    assert_int_equal(run(command), ERR_LIMIT);
    assert_string_equal(why, "prints more than 65536 bytes");
}

static void test_a_program_has_thirty_seconds(void **state) {
    (void)state;
    use("sleep 100");
    assert_int_equal(step(0), ERR_AGAIN);
    world.offset_ms = TIMEOUT_MS - 5000;
    assert_int_equal(step(0), ERR_AGAIN);
    world.offset_ms = TIMEOUT_MS;
    assert_int_equal(step(0), ERR_UNREACHABLE);
    assert_string_equal(why, "did not end within 30 s");
    assert_int_equal(step(0), ERR_AGAIN); /* the next step starts it again */
}

/* A program that closes its output is waited for, too. */
static void test_a_program_may_close_its_output_first(void **state) {
    (void)state;
    use("/bin/sh -c 'cat keys.json; exec >&-; sleep 100'");
    file_put_text("keys.json", KEYS);
    for (int i = 0; i < 20; i++)
        assert_int_equal(step(10), ERR_AGAIN);
}

static void test_only_callers_that_wait_wait(void **state) {
    (void)state;
    use("sleep 100");
    assert_int_equal(step(0), ERR_AGAIN);
    assert_int_equal(world.polls, 0);
    assert_int_equal(step(1), ERR_AGAIN);
    assert_int_equal(world.polls, 1);
    world.poll_error = EINTR;
    assert_int_equal(step(1), ERR_AGAIN);
    world.poll_error = ENOMEM;
    assert_int_equal(step(1), ERR_IO);
}

static void test_a_program_reads_nothing_and_inherits_nothing(void **state) {
    (void)state;
    int kept = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */
    file_put_text("keys.json", KEYS);
    assert_int_equal(run("/bin/sh -c 'read x && exit 1; [ -e /proc/self/fd/9 ] && exit 2; cat keys.json'"), 0);
    int ninth = dup2(kept, 9);
    assert_int_equal(ninth, 9);
    assert_int_equal(run("/bin/sh -c '[ -e /proc/$$/fd/9 ] && exit 2; cat keys.json'"), 0);
    close(ninth);
    close(kept);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_the_output_of_a_program_is_read_to_its_end), TEST(test_a_program_can_be_run_again),
          TEST(test_a_program_that_is_missing), TEST(test_a_lack_of_descriptors), TEST(test_a_program_that_fails),
          TEST(test_output_has_a_limit), TEST(test_a_program_has_thirty_seconds),
          TEST(test_a_program_may_close_its_output_first), TEST(test_only_callers_that_wait_wait),
          TEST(test_a_program_reads_nothing_and_inherits_nothing))
