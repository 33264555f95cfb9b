/* `journal retire`: a death at every call loses nothing, and the same command continues. */
#include "offline_support.h"

#include <sys/wait.h>

/* The first line of one is after the last sealed line of the other. */
static bool journal_starts_after(const char *dir, const char *other) {
    struct journal_files files;
    assert_int_equal(journal_files_list(other, &files), 0);
    size_t sealed = files.count - files.has_active;
    uint64_t last = files.files[sealed - 1].first_seq;
    journal_files_release(&files);
    assert_int_equal(journal_files_list(dir, &files), 0);
    bool after = files.count == files.has_active || files.files[0].first_seq > last;
    journal_files_release(&files);
    return after;
}

static struct {
    int left;         /* calls before the death */
    bool half, after; /* a write is cut in half; the last call is executed */
} doom;

static bool dies(void) {
    return doom.left-- == 0;
}
static ssize_t doomed_write(int fd, const void *bytes, size_t len) {
    bool now = dies();
    ssize_t n = now && !doom.half && !doom.after ? 0 : write(fd, bytes, now && doom.half ? len / 2 : len);
    if (now)
        _exit(7);
    return n;
}
static int doomed_sync(int fd) {
    (void)fd;
    if (dies())
        _exit(7);
    return 0;
}
static int doomed_rename(const char *from, const char *to) {
    bool now = dies();
    int rc = now && !doom.after ? 0 : rename(from, to);
    if (now)
        _exit(7);
    return rc;
}
static int doomed_unlink(const char *path) {
    bool now = dies();
    int rc = now && !doom.after ? 0 : unlink(path);
    if (now)
        _exit(7);
    return rc;
}
static struct retire_io doomed_io = {
    .journal = {.write = doomed_write, .fdatasync = doomed_sync, .fsync = doomed_sync, .rename = doomed_rename},
    .unlink = doomed_unlink};

/* True when it died. */
static bool run_doomed(struct retire_options o, int calls, int manner) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        doom.left = calls;
        doom.half = manner == 1;
        doom.after = manner == 2;
        o.io = &doomed_io;
        _exit(retire_quietly(&o) ? 8 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0));
    return WEXITSTATUS(status) == 7;
}

/* Every line of the removed files can still be read, in the journal or in the archive. */
static void assert_nothing_lost(bool archived) {
    if (archived)
        shell("for f in base/journal.[0-9]*; do n=${f##*/}; cmp -s $f " JOURNAL_DIR "/$n || cmp -s $f archive/$n || "
              "exit 1; done");
}

static void die_everywhere(bool archived, bool forget_finished, int manner) {
    struct retire_options o = {.dir = JOURNAL_DIR,
                               .remove = !archived,
                               .archive = archived ? "archive" : NULL,
                               .forget_finished = forget_finished,
                               .rotate_bytes = offline.rotate_bytes};
    int deaths = 0, what = forget_finished ? UNFINISHED : UNFINISHED | FINISHED;
    shell("rm -rf base archive " JOURNAL_DIR);
    offline_journal_make(true);
    shell("cp -a " JOURNAL_DIR " base");
    struct buf before = state_dump_dir(JOURNAL_DIR, what);
    for (int calls = 0;; calls++) {
        shell("rm -rf archive " JOURNAL_DIR " && cp -a base " JOURNAL_DIR);
        bool died = run_doomed(o, calls, manner);
        assert_nothing_lost(archived);
        shell("rm -rf copy && cp -a " JOURNAL_DIR " copy");
        struct buf there = state_dump_dir("copy", what); /* a start without the snapshot */
        assert_same_text(&before, &there);
        struct buf all = state_dump_dir("copy", UNFINISHED | FINISHED | PLACES), cached = BUF_INIT;
        verified("copy");
        shell("rm -rf copy && cp -a " JOURNAL_DIR " copy");
        world.o.rotate_bytes = 0;
        world.o.dir = "copy";
        world.o.io = &world_io;
        world.o.send = world_send;
        assert_int_equal(consumer_new(&world.c, &world.o, world.now), 0); /* and one with it */
        state_dump(&world.c->state, UNFINISHED | FINISHED | PLACES, &cached);
        world_kill();
        assert_same_text(&all, &cached);
        assert_int_equal(retire_quietly(&o), 0); /* the second run completes the first one */
        assert_true(journal_starts_after(JOURNAL_DIR, "base"));
        struct buf after = state_dump_dir(JOURNAL_DIR, what);
        assert_same_text(&before, &after);
        assert_true(verified(JOURNAL_DIR).from > 1);
        assert_nothing_lost(archived);
        buf_release(&there);
        buf_release(&all);
        buf_release(&cached);
        buf_release(&after);
        if (!died)
            break;
        deaths++;
    }
    printf("deaths survived: %d\n", deaths);
    assert_true(deaths > 15);
    buf_release(&before);
}

static void test_death_before_every_call_of_remove(void **state) {
    (void)state;
    die_everywhere(false, false, 0);
}
static void test_death_between_the_batches_of_a_carry(void **state) {
    (void)state;
    offline.many_chunks = true;
    offline.rotate_bytes = 512 << 10;
    die_everywhere(false, false, 0);
    offline.many_chunks = false;
    offline.rotate_bytes = ROTATE;
}
static void test_death_within_every_write_of_remove(void **state) {
    (void)state;
    die_everywhere(false, false, 1);
}
static void test_death_after_every_call_of_archive(void **state) {
    (void)state;
    die_everywhere(true, false, 2);
}
static void test_death_while_finished_ones_are_left_behind(void **state) {
    (void)state;
    die_everywhere(false, true, 2);
}

UNIT_MAIN(OFFLINE_TEST(test_death_before_every_call_of_remove), OFFLINE_TEST(test_death_between_the_batches_of_a_carry),
          OFFLINE_TEST(test_death_within_every_write_of_remove), OFFLINE_TEST(test_death_after_every_call_of_archive),
          OFFLINE_TEST(test_death_while_finished_ones_are_left_behind))
