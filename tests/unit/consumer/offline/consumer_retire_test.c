/* `journal retire`, `forget` and `export`: the carried records, and a death at every moment
 * without loss. */
#include "consumer_world.h"

#include "consumer/offline/forget.h"
#include "consumer/offline/retire.h"
#include "journal/verify.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define ROTATE 2500

/* ---- a journal with everything in it ---- */

static struct id128 forgotten_id;

static void put_file(const char *path, const char *dest) {
    struct plan_file put = world_file(path, dest, 100);
    put.flags = PLAN_PUT;
    struct id128 id = world_plan('P', &put).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_PUT, id, 0), "").kind, VERDICT_GRANT);
    struct result r = world_result(world_ref(JOB_PUT, id, 0), "");
    r.source = put.source;
    r.target = put.target;
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
}

static void finish_file(const char *path, const char *dest, uint32_t chunks) {
    struct id128 id = world_begun('P', 'U', path, dest, chunks);
    for (uint32_t i = 0; i < chunks; i++)
        world_chunk('U', id, i);
    world_finish('U', id);
}

static struct id128 half_file(const char *path, const char *dest, uint32_t chunks) {
    struct id128 id = world_begun('P', 'U', path, dest, 2 * chunks);
    for (uint32_t i = 0; i < chunks; i++) {
        struct result r = world_result(world_ref(JOB_CHUNK, id, 2 * i), "H");
        r.etag = slice_of(i == 0 ? "" : i == 1 ? "odd-etag" : "0123456789abcdef0123456789abcdef");
        r.crc += i;
        world_complete('U', &r);
    }
    return id;
}

/* Begun by two, one after the other: the upload of the first one must be searched. */
static void begin_twice(const char *path, const char *dest, bool done) {
    struct plan_file file = world_file(path, dest, 3 * PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0);
    assert_int_equal(world_claim('U', begin, "").kind, VERDICT_GRANT);
    world_advance(world.o.lease_ms + 1);
    assert_int_equal(world_claim('U', begin, "").kind, VERDICT_GRANT);
    if (done)
        world_done('U', begin, "H");
}

/* More than one batch when it is carried. */
static void many_chunks(void) {
    char etag[201];
    struct id128 id = world_begun('P', 'U', "/src/many", "s3://bucket/many", 3500);
    memset(etag, 'e', sizeof etag - 1);
    for (uint32_t i = 0; i < 3400; i++) {
        struct result r = world_result(world_ref(JOB_CHUNK, id, i), "H");
        etag[200] = '\0';
        r.etag = slice_of(etag);
        world_complete('U', &r);
    }
}

/* A put whose source got another inode number and ctime, and kept its content. */
static void find_same(const char *path, const char *dest) {
    struct plan_file put = world_file(path, dest, 100);
    put.flags = PLAN_PUT;
    put.source.file.ino++;
    put.source.file.ctime_ns++;
    put.crc = world_plan('P', &put).crc;
    put.verified = true;
    struct planned_file p = world_plan('P', &put);
    assert_int_equal(p.state, PLANNED_DONE);
    assert_int_equal(p.differs, 0);
}

static bool with_many_chunks;
static uint64_t rotate_bytes = ROTATE;

static void everything(void) {
    char path[64], dest[64];
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct plan_file intent = world_file("/src/intended", "s3://bucket/intended", 3 * PART);
    world_claim('U', world_ref(JOB_BEGIN, world_plan('P', &intent).upload, 0), "");
    if (with_many_chunks)
        many_chunks();
    struct id128 spoiled = half_file("/src/spoiled", "s3://bucket/spoiled", 2);
    struct result changed = world_result(world_ref(JOB_CHUNK, spoiled, 1), "H");
    changed.outcome = OUTCOME_FAILED;
    changed.class = FAIL_CHANGED;
    world_complete('U', &changed);
    begin_twice("/src/intended-twice", "s3://bucket/intended-twice", false);
    begin_twice("/src/begun-twice", "s3://bucket/begun-twice", true);
    struct id128 early = half_file("/src/early", "s3://bucket/early", 3);
    struct id128 long_one = world_begun('P', 'U', "/src/long", "s3://bucket/long", 4);
    for (unsigned i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "/src/%u", i);
        snprintf(dest, sizeof dest, "s3://bucket/%u", i % 9); /* three are replaced */
        if (i % 3)
            put_file(path, dest);
        else
            finish_file(path, dest, 3);
        if (i < 3)
            world_chunk('U', long_one, i);
        if (i == 5) {
            struct result redo = world_result(world_ref(JOB_CHUNK, early, 2), "H");
            redo.outcome = OUTCOME_REDO;
            world_complete('U', &redo);
        }
    }
    find_same("/src/8", "s3://bucket/8");
    put_file("/src/put", "file:///dst/put");
    half_file("/src/late", "s3://bucket/late", 2);
    world_chunk('U', long_one, 3);
    world_finish('U', long_one); /* begun in the first file, finished in the last */
    world_clear_sent();
}

static void make_journal(bool clean) {
    world.o.rotate_bytes = rotate_bytes;
    world_start();
    everything();
    bool stopped;
    if (clean) {
        world_bye('U');
        assert_int_equal(consumer_stop(world.c, &stopped), 0);
        assert_true(stopped);
    }
    forgotten_id = world.c->state.finished.entries[0].upload;
    world_kill();
}

/* ---- dumps ---- */

static int apply_to(void *arg, const struct record *r) {
    struct state *s = arg;
    return state_apply(s, r);
}

static uint64_t replay(const char *dir, struct state *s) {
    struct journal *j;
    struct journal_options o = {.dir = dir, .io = &world_io, .apply = apply_to, .arg = s};
    assert_int_equal(state_init(s), 0);
    assert_int_equal(journal_open(&j, &o), 0);
    bool clean = journal_stopped_cleanly(j);
    journal_close(&j);
    return clean;
}

static int compare_lines(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum { UNFINISHED = 1, FINISHED = 2, PLACES = 4 };

/* The state as sorted lines. PLACES: with the seqs, and the recently ended uploads. */
static void dump(const struct state *s, int what, struct buf *out) {
    char **lines = calloc(s->count + s->finished.count + s->recently_ended.count + 1, sizeof *lines), room[ID_HEX_SIZE];
    size_t count = 0;
    for (size_t i = 0; (what & UNFINISHED) && i < s->count; i++) {
        const struct upload *u = s->uploads[i];
        struct buf b = BUF_INIT;
        id_to_hex(&u->id, room);
        assert_int_equal(buf_addf(&b, "u %s %.*s %.*s %llu %lld %d %d %d", room, (int)u->identity.src.len,
                                  u->identity.src.ptr, (int)u->identity.dest.len, u->identity.dest.ptr,
                                  (unsigned long long)u->identity.file.size,
                                  u->begun && !u->reopened && !(what & PLACES) ? 0LL : (long long)u->open_us, u->begun,
                                  u->reopened, u->spoiled),
                         0);
        if (u->begun)
            assert_int_equal(buf_addf(&b, " %s %d %llu %u %llu", u->handle, (int)u->checksum,
                                      (unsigned long long)u->chunk_size, u->chunks,
                                      what & PLACES ? (unsigned long long)u->begin_seq : 0),
                             0);
        for (uint32_t c = 0; u->begun && c < u->chunks; c++)
            if (upload_has_chunk(u, c)) {
                struct slice etag = upload_etag(u, c, room);
                assert_int_equal(buf_addf(&b, " %u:%08x:%.*s:%llu", c, upload_chunk(u, c)->crc, (int)etag.len, etag.ptr,
                                          what & PLACES ? (unsigned long long)upload_chunk(u, c)->seq : 0),
                                 0);
            }
        lines[count++] = b.data;
    }
    for (size_t i = 0; (what & FINISHED) && i < s->finished.count; i++) {
        const struct finished_entry *e = &s->finished.entries[i];
        char hex[3][ID_HEX_SIZE];
        id_to_hex(&e->dest, hex[0]);
        id_to_hex(&e->key, hex[1]);
        id_to_hex(&e->upload, hex[2]);
        assert_true(asprintf(&lines[count++], "f %s %s %s %u %u %u %llu", hex[0], hex[1], hex[2], (unsigned)e->inode,
                             e->ctime, e->crc, what & PLACES ? (unsigned long long)e->seq : 0) > 0);
    }
    for (size_t i = 0; (what & PLACES) && i < s->recently_ended.count; i++) {
        const struct ended_upload *e = recently_ended_at(&s->recently_ended, i);
        id_to_hex(&e->upload, room);
        assert_true(asprintf(&lines[count++], "e %s %d %llu", room, e->how, (unsigned long long)e->seq) > 0);
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(buf_addf(out, "%s\n", lines[i]), 0);
        free(lines[i]);
    }
    free(lines);
}

static struct buf dump_of(const struct state *s, int what) {
    struct buf out = BUF_INIT;
    assert_int_equal(buf_add_text(&out, ""), 0);
    dump(s, what, &out);
    return out;
}

static struct buf dump_dir(const char *dir, int what) {
    struct state s;
    replay(dir, &s);
    struct buf out = dump_of(&s, what);
    state_release(&s);
    return out;
}

static void assert_same_text(const struct buf *a, const struct buf *b) {
    assert_string_equal(a->data ? a->data : "", b->data ? b->data : "");
}

static void shell(const char *command) {
    assert_int_equal(system(command), 0);
}

static size_t sealed_in(const char *dir) {
    struct journal_files files;
    assert_int_equal(journal_files_list(dir, &files), 0);
    size_t sealed = files.count - files.has_active;
    journal_files_release(&files);
    return sealed;
}

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

static struct verify_report verified(const char *dir) {
    struct verify_report v;
    if (journal_verify(dir, NULL, &v))
        fail_msg("%s/%s:%llu: %s", dir, v.file, (unsigned long long)v.line, v.reason);
    return v;
}

/* discards stdout of the command */
static int quietly(const struct retire_options *o) {
    fflush(stdout);
    int saved = dup(1), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 1);
    close(null);
    int err = journal_retire(o);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    return err;
}

/* ---- complete runs ---- */

static void test_the_state_is_the_same(void **state) {
    (void)state;
    make_journal(true);
    struct buf before = dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
    size_t sealed = sealed_in(JOURNAL_DIR);
    assert_true(sealed >= 4);
    struct retire_options o = {.dir = JOURNAL_DIR, .keep = 1, .remove = true};
    assert_int_equal(quietly(&o), 0);
    assert_int_equal(sealed_in(JOURNAL_DIR), 1);
    assert_true(verified(JOURNAL_DIR).from > 1);
    shell("cp -a " JOURNAL_DIR " with-snapshot && rm " JOURNAL_DIR "/snapshot");
    struct buf after = dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
    assert_same_text(&before, &after);
    /* the snapshot agrees with the journal */
    struct buf places = dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED | PLACES);
    struct state s;
    struct journal_position pos;
    struct buf body = BUF_INIT;
    assert_int_equal(snapshot_read("with-snapshot", &pos, &body), 0);
    assert_int_equal(state_init(&s), 0);
    assert_int_equal(snapshot_decode(buf_slice(&body), &s), 0);
    struct buf cached = dump_of(&s, UNFINISHED | FINISHED | PLACES);
    assert_same_text(&places, &cached);
    assert_int_equal(s.finished.total, s.finished.count);
    state_release(&s);
    buf_release(&body);
    buf_release(&cached);
    buf_release(&places);
    buf_release(&after);
    buf_release(&before);
}

/* Repeated: the state stays the same, and a file without use needs no carry. */
static void test_retired_journals_can_be_retired(void **state) {
    (void)state;
    make_journal(true);
    struct buf before = dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
    for (int i = 0; i < 3; i++) {
        struct retire_options o = {.dir = JOURNAL_DIR, .remove = true};
        assert_int_equal(quietly(&o), 0);
        world.o.rotate_bytes = 1; /* the carried lines are in a sealed file now */
        world_start();
        bool clean;
        assert_int_equal(consumer_stop(world.c, &clean), 0);
        world_kill();
        struct buf after = dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
        assert_same_text(&before, &after);
        verified(JOURNAL_DIR);
        buf_release(&after);
    }
    buf_release(&before);
}

/* Rule 6: uploaders that worked when the consumer died may still work. */
static void test_stop_is_written_only_after_a_clean_end(void **state) {
    (void)state;
    make_journal(false);
    struct retire_options o = {.dir = JOURNAL_DIR, .remove = true};
    struct state s;
    assert_int_equal(quietly(&o), 0);
    assert_false(replay(JOURNAL_DIR, &s));
    state_release(&s);
    shell("rm -r " JOURNAL_DIR);
    make_journal(true);
    assert_int_equal(quietly(&o), 0);
    assert_true(replay(JOURNAL_DIR, &s));
    state_release(&s);
}

static void test_finished_ones_can_be_left_behind(void **state) {
    (void)state;
    make_journal(true);
    struct buf unfinished = dump_dir(JOURNAL_DIR, UNFINISHED);
    struct retire_options o = {.dir = JOURNAL_DIR, .remove = true, .forget_finished = true};
    assert_int_equal(quietly(&o), 0);
    struct state s;
    struct buf with_snapshot = BUF_INIT;
    world_start();
    dump(&world.c->state, UNFINISHED | FINISHED | PLACES, &with_snapshot);
    world_kill();
    replay(JOURNAL_DIR, &s);
    struct buf after = dump_of(&s, UNFINISHED), all = dump_of(&s, UNFINISHED | FINISHED | PLACES);
    assert_same_text(&unfinished, &after);
    assert_same_text(&with_snapshot, &all);
    assert_true(s.finished.count < 12);
    state_release(&s);
    buf_release(&all);
    buf_release(&with_snapshot);
    buf_release(&after);
    buf_release(&unfinished);
}

static void test_a_consumer_must_not_run(void **state) {
    (void)state;
    make_journal(true);
    world_start();
    struct retire_options o = {.dir = JOURNAL_DIR, .remove = true};
    size_t sealed = sealed_in(JOURNAL_DIR);
    assert_int_equal(quietly(&o), ERR_BUSY);
    assert_int_equal(sealed_in(JOURNAL_DIR), sealed);
    o.remove = false; /* listing is possible */
    assert_int_equal(quietly(&o), 0);
    world_kill();
    o.archive = JOURNAL_DIR;
    assert_int_equal(quietly(&o), ERR_USAGE);
    o.dir = "nowhere";
    assert_int_equal(quietly(&o), ERR_NOT_FOUND);
    assert_int_not_equal(access("nowhere", F_OK), 0);
}

static void test_an_archive_replaces_nothing(void **state) {
    (void)state;
    make_journal(true);
    struct retire_options o = {.dir = JOURNAL_DIR, .archive = "archive"};
    size_t sealed = sealed_in(JOURNAL_DIR);
    shell("mkdir archive && echo mine > archive/journal.00000000000000000001.jsonl");
    assert_int_equal(quietly(&o), ERR_BUSY);
    assert_int_equal(sealed_in(JOURNAL_DIR), sealed);
    shell("grep -q mine archive/journal.00000000000000000001.jsonl && rm archive/*");
    assert_int_equal(quietly(&o), 0);
    assert_int_equal(sealed_in(JOURNAL_DIR), 0);
    assert_int_equal(sealed_in("archive"), sealed);
    /* put back, all of it is one journal again */
    shell("cp archive/journal.* " JOURNAL_DIR);
    assert_int_equal(verified(JOURNAL_DIR).from, 0);
}

/* ---- death at every call ---- */

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
        _exit(quietly(&o) ? 8 : 0);
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
                               .rotate_bytes = rotate_bytes};
    int deaths = 0, what = forget_finished ? UNFINISHED : UNFINISHED | FINISHED;
    shell("rm -rf base archive " JOURNAL_DIR);
    make_journal(true);
    shell("cp -a " JOURNAL_DIR " base");
    struct buf before = dump_dir(JOURNAL_DIR, what);
    for (int calls = 0;; calls++) {
        shell("rm -rf archive " JOURNAL_DIR " && cp -a base " JOURNAL_DIR);
        bool died = run_doomed(o, calls, manner);
        assert_nothing_lost(archived);
        shell("rm -rf copy && cp -a " JOURNAL_DIR " copy");
        struct buf there = dump_dir("copy", what); /* a start without the snapshot */
        assert_same_text(&before, &there);
        struct buf all = dump_dir("copy", UNFINISHED | FINISHED | PLACES), cached = BUF_INIT;
        verified("copy");
        shell("rm -rf copy && cp -a " JOURNAL_DIR " copy");
        world.o.rotate_bytes = 0;
        world.o.dir = "copy";
        world.o.io = &world_io;
        world.o.send = world_send;
        assert_int_equal(consumer_new(&world.c, &world.o, world.now), 0); /* and one with it */
        dump(&world.c->state, UNFINISHED | FINISHED | PLACES, &cached);
        world_kill();
        assert_same_text(&all, &cached);
        assert_int_equal(quietly(&o), 0); /* the second run completes the first one */
        assert_true(journal_starts_after(JOURNAL_DIR, "base"));
        struct buf after = dump_dir(JOURNAL_DIR, what);
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
    with_many_chunks = true;
    rotate_bytes = 512 << 10;
    die_everywhere(false, false, 0);
    with_many_chunks = false;
    rotate_bytes = ROTATE;
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

/* ---- forget ---- */

static void test_forget(void **state) {
    (void)state;
    char id[ID_HEX_SIZE];
    const char *wanted[] = {"s3://bucket/5", id};
    make_journal(true);
    id_to_hex(&forgotten_id, id);
    struct forget_options o = {.dir = JOURNAL_DIR, .wanted = wanted, .wanted_count = 2};
    struct state s;
    replay(JOURNAL_DIR, &s);
    size_t finished = s.finished.count, unfinished = s.count;
    state_release(&s);
    assert_int_equal(journal_forget(&o), 0);
    replay(JOURNAL_DIR, &s);
    assert_int_equal(s.finished.count, finished - 2);
    assert_int_equal(s.count, unfinished);
    state_release(&s);
    assert_int_equal(journal_forget(&o), ERR_DAMAGED); /* no longer present */
    wanted[0] = "s3://bucket/early";
    o.wanted_count = 1;
    assert_int_equal(journal_forget(&o), ERR_DAMAGED); /* unfinished */
    o.unfinished = true;
    assert_int_equal(journal_forget(&o), 0);
    replay(JOURNAL_DIR, &s);
    assert_int_equal(s.count, unfinished - 1);
    state_release(&s);
    verified(JOURNAL_DIR);
    world_start(); /* planned again, it is another upload */
    world_hello('P', ROLE_PRODUCER);
    struct plan_file put = world_file("/src/5", "s3://bucket/5", 100);
    put.flags = PLAN_PUT;
    assert_int_equal(world_plan('P', &put).state, PLANNED_NEW);
    wanted[0] = "s3://bucket/8";
    assert_int_equal(journal_forget(&o), ERR_BUSY);
}

/* Each test has a directory of its own. */
static char own_dir[] = "retire-XXXXXX";

static int setup(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.now = 1000000;
    world.o.lease_ms = 10000;
    with_many_chunks = false;
    rotate_bytes = ROTATE;
    strcpy(own_dir, "retire-XXXXXX");
    return mkdtemp(own_dir) && chdir(own_dir) == 0 ? 0 : -1;
}
static int teardown(void **state) {
    char command[64];
    (void)state;
    if (world.c)
        world_kill();
    snprintf(command, sizeof command, "rm -rf %s", own_dir);
    return chdir("..") == 0 && system(command) == 0 ? 0 : -1;
}
#define RETIRE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(RETIRE_TEST(test_the_state_is_the_same), RETIRE_TEST(test_retired_journals_can_be_retired),
          RETIRE_TEST(test_stop_is_written_only_after_a_clean_end), RETIRE_TEST(test_finished_ones_can_be_left_behind),
          RETIRE_TEST(test_a_consumer_must_not_run), RETIRE_TEST(test_an_archive_replaces_nothing),
          RETIRE_TEST(test_death_before_every_call_of_remove), RETIRE_TEST(test_death_between_the_batches_of_a_carry),
          RETIRE_TEST(test_death_within_every_write_of_remove), RETIRE_TEST(test_death_after_every_call_of_archive),
          RETIRE_TEST(test_death_while_finished_ones_are_left_behind), RETIRE_TEST(test_forget))
