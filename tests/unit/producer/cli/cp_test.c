/*
 * `cp` with a scripted consumer. Its supervisor finds the programs next to its own. Therefore `cp` runs in a copy of
 * this program in ./bin, where chunklift-uploader is a shell script that ends after SIGTERM when the file "go" exists.
 */
#include "scripted_consumer.h"

#include "producer/cli/cp.h"
#include "system/clock.h"
#include <limits.h>
#include <signal.h>

#define PATIENCE_MS 20000

static const char script[] = "#!/bin/sh\n"
                             "case \"$*\" in *--check*) printf r >&0;; esac\n"
                             "told=\n"
                             "trap 'told=1; echo $$ >>told' TERM\n"
                             "echo $$ >>started\n"
                             "until [ \"$told\" ] && [ -e go ]; do sleep 0.05; done\n"
                             "echo $$ >>ended\n";

static int setup(void **state) {
    assert_int_equal(scripted_setup(state), 0);
    scripted.role = ROLE_PRODUCER;
    scripted.lost = INT_MAX; /* the file stays unfinished */
    assert_int_equal(system("rm -rf bin told started ended go && mkdir bin && cp /proc/$PPID/exe bin/cp_test && "
                            "cp bin/cp_test bin/chunklift-consumer"),
                     0);
    file_put_text("bin/chunklift-uploader", script);
    return chmod("bin/chunklift-uploader", 0700);
}

static int teardown(void **state) {
    assert_int_equal(system("rm -rf bin told started ended go src"), 0);
    return scripted_teardown(state);
}

static pid_t start_cp(void) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("stdout", "w", stdout) || !freopen("stderr", "w", stderr))
            _exit(99);
        setenv("HOME", "/nowhere", 1);
        setenv("XDG_RUNTIME_DIR", ".", 1);
        execl("bin/cp_test", "cp_test", "--cp", "--no-progress", "--consumer", scripted_address, "--uploaders", "3",
              "src", "out", (char *)NULL);
        _exit(98);
    }
    scripted_bind();
    return pid;
}

/* The lines of a file, one of each uploader. */
static unsigned noted(const char *file) {
    unsigned lines = 0;
    FILE *f = fopen(file, "r");
    for (int c; f && (c = fgetc(f)) != EOF;)
        lines += c == '\n';
    if (f)
        fclose(f);
    return lines;
}

static void until_noted(const char *file, unsigned lines) {
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS; noted(file) < lines; scripted_serve(5))
        assert_true(clock_ms() < end_ms);
}

static void test_other_uploaders_of_a_small_file_start_after_a_second(void **state) {
    (void)state;
    file_put_hole("src", 1 << 20);
    uint64_t began_ms = clock_ms();
    pid_t pid = start_cp();
    until_noted("started", 1);
    until_noted("started", 3);
    assert_true(clock_ms() - began_ms >= 1000);
    file_put_text("go", "");
    kill(pid, SIGTERM);
    assert_int_equal(scripted_until_end(pid), 128 + SIGTERM);
    assert_int_equal(noted("started"), 3);
}

/* No reply to a TAIL confirms the drain. After 3 s of silence the producer ends by itself. */
static void test_interrupted_cp_is_over_when_its_uploaders_have_ended(void **state) {
    (void)state;
    file_put_hole("src", 10);
    file_put_text("go", "");
    pid_t pid = start_cp();
    until_noted("started", 1);
    uint64_t began_ms = clock_ms(), end_ms = began_ms + PATIENCE_MS;
    for (; scripted.requests == 0; scripted_serve(5))
        assert_true(clock_ms() < end_ms);
    kill(pid, SIGTERM);
    for (; scripted.byes == 0; scripted_serve(5))
        assert_true(clock_ms() < end_ms);
    if (clock_ms() - began_ms < 3000)
        assert_int_equal(noted("ended"), noted("started"));
    assert_int_equal(scripted_until_end(pid), 128 + SIGTERM);
}

static void test_only_one_small_file_has_one_uploader(void **state) {
    (void)state;
    assert_false(cp_needs_all_uploaders(&(struct producer_stats){.files_seen = 1, .bytes_total = 1 << 20}, 999));
    assert_true(cp_needs_all_uploaders(&(struct producer_stats){.files_seen = 1, .bytes_total = (1 << 20) + 1}, 0));
    assert_true(cp_needs_all_uploaders(&(struct producer_stats){.files_seen = 2}, 0));
    assert_true(cp_needs_all_uploaders(&(struct producer_stats){.files_seen = 1}, 1000)); /* it may stand still */
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_one_small_file_has_one_uploader),
        cmocka_unit_test_setup_teardown(test_other_uploaders_of_a_small_file_start_after_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupted_cp_is_over_when_its_uploaders_have_ended, setup, teardown)};
    if (argc > 1 && strcmp(argv[1], "--cp") == 0)
        return cp_command(argc - 1, argv + 1);
    return unit_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
