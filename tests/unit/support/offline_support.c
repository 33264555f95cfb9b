#include "offline_support.h"

#include <fcntl.h>

struct offline offline;

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

/* A put. Its source then gets another inode number and ctime, with the same content. */
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

static void everything(void) {
    char path[64], dest[64];
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct plan_file intent = world_file("/src/intended", "s3://bucket/intended", 3 * PART);
    world_claim('U', world_ref(JOB_BEGIN, world_plan('P', &intent).upload, 0), "");
    if (offline.many_chunks)
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

void offline_journal_make(bool clean) {
    world.o.rotate_bytes = offline.rotate_bytes;
    world_start();
    everything();
    bool stopped;
    if (clean) {
        world_bye('U');
        assert_int_equal(consumer_stop(world.c, &stopped), 0);
        assert_true(stopped);
    }
    offline.forgotten = world.c->state.finished.entries[0].upload;
    world_kill();
}

static int apply_to(void *arg, const struct record *r) {
    struct state *s = arg;
    return state_apply(s, r);
}

bool offline_replay(const char *dir, struct state *s) {
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

void state_dump(const struct state *s, int what, struct buf *out) {
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
        id_to_hex(&e->upload, room);
        assert_true(asprintf(&lines[count++], "f %llx %llx %s %u %u %u %u %llu", (unsigned long long)e->dest,
                             (unsigned long long)e->key, room, (unsigned)e->inode, e->ctime, e->crc,
                             (unsigned)e->deleting, what & PLACES ? (unsigned long long)e->seq : 0) > 0);
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

struct buf state_dump_of(const struct state *s, int what) {
    struct buf out = BUF_INIT;
    assert_int_equal(buf_add_text(&out, ""), 0);
    state_dump(s, what, &out);
    return out;
}

struct buf state_dump_dir(const char *dir, int what) {
    struct state s;
    offline_replay(dir, &s);
    struct buf out = state_dump_of(&s, what);
    state_release(&s);
    return out;
}

void assert_same_text(const struct buf *a, const struct buf *b) {
    assert_string_equal(a->data ? a->data : "", b->data ? b->data : "");
}

void shell(const char *command) {
    assert_int_equal(system(command), 0);
}

size_t sealed_in(const char *dir) {
    struct journal_files files;
    assert_int_equal(journal_files_list(dir, &files), 0);
    size_t sealed = files.count - files.has_active;
    journal_files_release(&files);
    return sealed;
}

struct verify_report verified(const char *dir) {
    struct verify_report v;
    if (journal_verify(dir, NULL, &v))
        fail_msg("%s/%s:%llu: %s", dir, v.file, (unsigned long long)v.line, v.reason);
    return v;
}

int retire_quietly(const struct retire_options *o) {
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

/* Each test has a directory of its own. */
static char own_dir[] = "retire-XXXXXX";

int offline_setup(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.now = 1000000;
    world.o.lease_ms = 10000;
    offline.many_chunks = false;
    offline.rotate_bytes = ROTATE;
    strcpy(own_dir, "retire-XXXXXX");
    return mkdtemp(own_dir) && chdir(own_dir) == 0 ? 0 : -1;
}
int offline_teardown(void **state) {
    char command[64];
    (void)state;
    if (world.c)
        world_kill();
    snprintf(command, sizeof command, "rm -rf %s", own_dir);
    return chdir("..") == 0 && system(command) == 0 ? 0 : -1;
}
