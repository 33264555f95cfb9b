/*
 * Drives the S3 backend against a real server, one task after the other, without the rest of the pipeline:
 *
 *   s3_drive ENDPOINT put FILE s3://BUCKET/KEY
 *   s3_drive ENDPOINT multipart FILE s3://BUCKET/KEY [CHUNK_SIZE]
 *   s3_drive ENDPOINT stat|check s3://BUCKET/KEY
 *   s3_drive ENDPOINT scenarios FILE s3://BUCKET/PREFIX     (FILE: at least 11 MiB)
 *
 * Credentials as everywhere. Exit status 0: everything went as it must. -v as first argument: debug lines.
 * tests/servers/s3_keys.sh compares the objects with odd keys by another client.
 */
#include "pure/digest.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/fileid.h"
#include "system/log.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PARTS_MAX 10000

struct drive {
    struct http *http;
    struct backend *s3;
    struct roots *roots;
    const char *endpoint, *file;
    struct source_ref ref;
    struct geometry g;
    bool done;
};

struct upload {
    struct buf dest, handle;
    struct id128 id;
    enum checksum_kind checksum;
    struct part *parts;
    char (*etags)[256];
};

static void on_done(struct task *t, void *arg) {
    (void)t;
    ((struct drive *)arg)->done = true;
}

void task_done(struct task *t) {
    t->done(t, t->done_arg);
}

/* Runs one task to its end; transient failures are reported as they are. */
static void run(struct drive *d, struct task *t) {
    t->done = on_done;
    t->done_arg = d;
    t->lease_deadline_ms = UINT64_MAX;
    d->done = false;
    if (d->s3->ops->start(d->s3, t)) {
        fprintf(stderr, "start failed\n");
        exit(1);
    }
    while (!d->done) {
        http_perform(d->http);
        bool again = d->s3->ops->step(d->s3);
        if (!d->done)
            http_wait(d->http, NULL, 0, again ? 0 : 1000);
    }
}

static void job_init(struct drive *d, const struct upload *u, enum job_kind kind, struct task *t) {
    *t = (struct task){.properties = &properties_none,
                       .job = {.ref = {.kind = kind, .upload = u->id},
                               .source = d->ref,
                               .target = {.dest = buf_slice(&u->dest), .endpoint = slice_of(d->endpoint)},
                               .handle = buf_slice(&u->handle),
                               .checksum = u->checksum,
                               .chunk_size = d->g.chunk_size,
                               .chunks = d->g.chunks}};
}

static bool report(const struct task *t, const char *what, const char *dest) {
    const struct task_result *r = &t->result;
    bool ok = r->outcome == OUTCOME_DONE;
    printf("%s %s %s: outcome %d class %s%s%s%s error \"%s\" etag %s crc %08x size %llu\n", ok ? "ok  " : "NOT ", what,
           dest, (int)r->outcome, fail_class_name(r->class), r->transient ? " transient" : "",
           r->throttled ? " throttled" : "", r->credentials_expired ? " expired" : "", r->error, r->etag, r->crc,
           (unsigned long long)r->size);
    return ok;
}

static bool open_range(struct drive *d, struct task *t, uint64_t offset, uint64_t length) {
    char why[256] = "";
    t->job.offset = offset;
    t->job.length = length;
    if (source_open(&t->source, d->roots, &d->ref, offset, length, why, sizeof why)) {
        fprintf(stderr, "%s: %s\n", d->file, why);
        return false;
    }
    return true;
}

static struct upload upload_of(const char *dest) {
    struct upload u = {.parts = calloc(PARTS_MAX, sizeof(struct part)), .etags = calloc(PARTS_MAX, 256)};
    if (!u.parts || !u.etags || id_random(&u.id) || buf_add_text(&u.dest, dest))
        exit(1);
    return u;
}

static void upload_release(struct upload *u) {
    buf_release(&u->dest);
    buf_release(&u->handle);
    free(u->parts);
    free(u->etags);
}

/* --- single tasks --- */

static bool put(struct drive *d, struct upload *u) {
    struct task t;
    job_init(d, u, JOB_PUT, &t);
    bool ok = open_range(d, &t, 0, d->g.size);
    if (ok) {
        run(d, &t);
        ok = report(&t, "put", u->dest.data);
        source_close(&t.source);
    }
    return ok;
}

static bool begin(struct drive *d, struct upload *u, int64_t since_us) {
    struct task t;
    job_init(d, u, JOB_BEGIN, &t);
    t.since_us = since_us;
    run(d, &t);
    buf_clear(&u->handle);
    if (buf_add_text(&u->handle, t.result.handle))
        exit(1);
    u->checksum = t.result.checksum;
    printf("     handle %.40s… checksum %s\n", t.result.handle, u->checksum ? "crc32c/FULL_OBJECT" : "none");
    return report(&t, "begin", u->dest.data);
}

static enum outcome chunk(struct drive *d, struct upload *u, uint32_t i, uint64_t offset) {
    struct task t;
    job_init(d, u, JOB_CHUNK, &t);
    t.job.ref.chunk = i;
    if (!open_range(d, &t, offset, geometry_length(&d->g, i)))
        return OUTCOME_FAILED;
    run(d, &t);
    source_close(&t.source);
    report(&t, "chunk", u->dest.data);
    memcpy(u->etags[i], t.result.etag, sizeof t.result.etag);
    u->parts[i] = (struct part){i, t.result.crc, geometry_length(&d->g, i), slice_of(u->etags[i])};
    return t.result.outcome;
}

static bool chunks(struct drive *d, struct upload *u) {
    for (uint32_t i = 0; i < d->g.chunks; i++)
        if (chunk(d, u, i, geometry_offset(&d->g, i)) != OUTCOME_DONE)
            return false;
    return true;
}

static enum outcome finish(struct drive *d, struct upload *u, size_t *redo) {
    struct task t;
    job_init(d, u, JOB_FINISH, &t);
    t.parts = u->parts;
    t.part_count = d->g.chunks;
    run(d, &t);
    report(&t, "finish", u->dest.data);
    if (redo)
        *redo = t.result.redo_count;
    free(t.result.redo);
    return t.result.outcome;
}

static bool abort_upload(struct drive *d, struct upload *u) {
    struct task t;
    job_init(d, u, JOB_ABORT, &t);
    run(d, &t);
    return report(&t, "abort", u->dest.data);
}

static bool stat_object(struct drive *d, struct upload *u, bool *exists, uint64_t *size) {
    struct task t;
    job_init(d, u, JOB_STAT, &t);
    run(d, &t);
    *exists = t.result.exists;
    *size = t.result.size;
    return report(&t, "stat", u->dest.data);
}

static bool multipart(struct drive *d, struct upload *u) {
    return begin(d, u, 0) && chunks(d, u) && finish(d, u, NULL) == OUTCOME_DONE;
}

/* --- scenarios --- */

static bool expect(bool condition, const char *what) {
    printf("%s %s\n", condition ? "PASS" : "FAIL", what);
    return condition;
}

static struct upload upload_at(const char *prefix, const char *name) {
    char dest[2048];
    snprintf(dest, sizeof dest, "%s/%s", prefix, name);
    return upload_of(dest);
}

/* The second finish sees the same as after a lost reply of Complete. */
static bool lost_reply(struct drive *d, const char *prefix) {
    struct upload u = upload_at(prefix, "lost-reply"), other = upload_at(prefix, "lost-reply");
    bool ok = multipart(d, &u) && finish(d, &u, NULL) == OUTCOME_DONE;
    /* Other bytes: Ceph takes the same ones for the same upload. */
    bool gone = begin(d, &other, 0) && chunks(d, &other) && chunk(d, &other, 0, 1) == OUTCOME_DONE &&
                abort_upload(d, &other) && finish(d, &other, NULL) == OUTCOME_GONE;
    upload_release(&u);
    upload_release(&other);
    return expect(ok, "finish again after a lost reply") && expect(gone, "an object of another upload: gone");
}

static bool aborted(struct drive *d, const char *prefix) {
    struct upload u = upload_at(prefix, "aborted");
    bool ok = begin(d, &u, 0) && chunks(d, &u) && abort_upload(d, &u);
    bool again = abort_upload(d, &u);
    bool finish_gone = finish(d, &u, NULL) == OUTCOME_GONE, exists = true;
    bool gone = chunk(d, &u, 0, 0) == OUTCOME_GONE;
    uint64_t size;
    bool looked = stat_object(d, &u, &exists, &size);
    upload_release(&u);
    return expect(ok, "abort") && expect(again, "abort again") && expect(gone, "chunk after abort: gone") &&
           expect(finish_gone, "finish after abort: gone") && expect(looked && !exists, "no object");
}

static bool adopted(struct drive *d, const char *prefix) {
    struct upload first = upload_at(prefix, "adopted +&%/é"), second = upload_at(prefix, "adopted +&%/é");
    struct upload longer = upload_at(prefix, "adopted +&%/é, longer"), third = upload_at(prefix, "adopted +&%/é");
    int64_t since_us = clock_real_us() - 1000000;
    bool ok = begin(d, &longer, 0) && begin(d, &first, 0) && begin(d, &second, since_us);
    ok = expect(ok && slice_equal(buf_slice(&first.handle), buf_slice(&second.handle)), "begin adopts the empty one") &&
         expect(ok && first.checksum == second.checksum, "and knows its checksum kind");
    bool other = chunk(d, &first, 0, 0) == OUTCOME_DONE && begin(d, &third, since_us);
    ok = ok &&
         expect(other && !slice_equal(buf_slice(&first.handle), buf_slice(&third.handle)), "but not one with parts");
    ok = abort_upload(d, &first) && abort_upload(d, &third) && abort_upload(d, &longer) && ok;
    upload_release(&first);
    upload_release(&second);
    upload_release(&third);
    upload_release(&longer);
    return ok;
}

/* A late second sender replaced a part by other bytes; and a record with a wrong etag for right bytes. */
static bool replaced(struct drive *d, const char *prefix) {
    struct upload u = upload_at(prefix, "replaced");
    size_t redo = 0;
    bool ok = begin(d, &u, 0) && chunks(d, &u);
    struct part kept = u.parts[0];
    char etag[256];
    memcpy(etag, u.etags[0], sizeof etag);
    ok = ok && chunk(d, &u, 0, d->g.chunk_size / 2) == OUTCOME_DONE;
    u.parts[0] = kept;
    memcpy(u.etags[0], etag, sizeof etag);
    enum outcome outcome = ok ? finish(d, &u, &redo) : OUTCOME_FAILED;
    ok = expect(ok && outcome == OUTCOME_REDO && redo == 1, "a replaced part is redone");
    ok =
        ok && expect(chunk(d, &u, 0, 0) == OUTCOME_DONE && finish(d, &u, NULL) == OUTCOME_DONE, "and then it finishes");
    upload_release(&u);
    return ok;
}

static bool wrong_crc(struct drive *d, const char *prefix) {
    struct upload u = upload_at(prefix, "wrong-crc");
    bool ok = begin(d, &u, 0) && chunks(d, &u);
    if (u.checksum == CHECKSUM_NONE) {
        printf("skip a wrong checksum is refused: this store verifies none\n");
        abort_upload(d, &u);
        upload_release(&u);
        return true;
    }
    u.parts[0].crc ^= 1;
    ok = expect(ok && finish(d, &u, NULL) != OUTCOME_DONE, "a wrong checksum is refused at Complete");
    u.parts[0].crc ^= 1;
    ok = ok && expect(finish(d, &u, NULL) == OUTCOME_DONE, "the right one is taken");
    upload_release(&u);
    return ok;
}

static bool no_bucket(struct drive *d) {
    struct upload u = upload_of("s3://no-such-bucket-here-1/x");
    struct task t;
    job_init(d, &u, JOB_BEGIN, &t);
    run(d, &t);
    report(&t, "begin", u.dest.data);
    upload_release(&u);
    return expect(t.result.outcome == OUTCOME_FAILED && t.result.class == FAIL_NO_BUCKET, "no such bucket");
}

static bool scenarios(struct drive *d, const char *prefix) {
    bool ok = no_bucket(d);
    ok &= lost_reply(d, prefix);
    ok &= aborted(d, prefix);
    ok &= adopted(d, prefix);
    ok &= replaced(d, prefix);
    ok &= wrong_crc(d, prefix);
    return ok;
}

/* --- main --- */

static void open_file(struct drive *d, const char *path, uint64_t chunk_size) {
    struct stat st;
    struct source_identity id;
    char *absolute = realpath(path, NULL);
    if (!absolute || stat(absolute, &st)) {
        perror(path);
        exit(1);
    }
    fileid_from_stat(&st, &id);
    d->file = absolute;
    d->ref = (struct source_ref){.path = slice_of(absolute), .file = id, .boot = slice_of(boot_id())};
    if (geometry_plan(&geometry_limits_s3, id.size, chunk_size, &d->g))
        exit(1);
}

static int drive(struct drive *d, int argc, char **argv) {
    const char *command = argv[1];
    uint64_t chunk_size = 5 * MIB, size;
    bool exists, ok = false;
    if (strcmp(command, "stat") == 0 || strcmp(command, "check") == 0) {
        struct upload u = upload_of(argv[2]);
        char reason[512] = "served";
        struct target target = {.dest = slice_of(argv[2]), .endpoint = slice_of(d->endpoint)};
        ok = *command == 's' ? stat_object(d, &u, &exists, &size) && exists
                             : d->s3->ops->check(d->s3, &target, reason, sizeof reason) == 0;
        if (*command == 'c')
            puts(reason);
        upload_release(&u);
        return ok ? 0 : 1;
    }
    if (argc < 4 || (argc > 4 && size_parse(argv[4], &chunk_size)))
        return 2;
    open_file(d, argv[2], chunk_size);
    struct upload u = upload_of(argv[3]);
    if (strcmp(command, "put") == 0)
        ok = put(d, &u);
    else if (strcmp(command, "multipart") == 0)
        ok = multipart(d, &u);
    else if (strcmp(command, "scenarios") == 0)
        ok = scenarios(d, argv[3]);
    upload_release(&u);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    struct drive d = {0};
    const char *const everywhere[] = {"/"};
    bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    argv += verbose;
    argc -= verbose;
    if (argc < 4) {
        fprintf(stderr, "usage: s3_drive [-v] ENDPOINT put|multipart|scenarios|stat|check …\n");
        return 2;
    }
    log_setup("s3_drive", verbose ? LOG_DEBUG : LOG_INFO, false);
    d.endpoint = argv[1];
    struct s3_options o = {.integrity = getenv("S3_DRIVE_MD5") ? INTEGRITY_MD5 : INTEGRITY_UNKNOWN,
                           .profile = getenv("S3_DRIVE_PROFILE")};
    if (http_new(&d.http, &(struct http_options){.idle_max = 8}) || backend_s3_new(&d.s3, d.http, &o) ||
        roots_new(&d.roots, everywhere, 1))
        return 1;
    int status = drive(&d, argc - 1, argv + 1);
    d.s3->ops->destroy(d.s3);
    http_destroy(&d.http);
    roots_destroy(&d.roots);
    free((char *)d.file);
    return status;
}
