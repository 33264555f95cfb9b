/*
 * --write: the requests of an upload, with a name that is used once. At S3: an upload in parts that is aborted, and an object that
 * is written with each checksum and removed. At a directory: a file.
 */
#include "uploader/doctor/examine_internal.h"
#include "uploader/doctor/examine_judge.h"

#include "pure/text.h"
#include "system/clock.h"
#include "system/signals.h"
#include "uploader/source/source_text.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#define PROBE_TEXT "chunklift doctor wrote this to see whether it can. It may be removed.\n"
#define TRIES 3
#define PAUSE_MS 300

int examine_probe_name(bool ascii, char name[EXAMINE_NAME_SIZE]) {
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return ERR_IO;
    snprintf(name, EXAMINE_NAME_SIZE, ".chunklift-doctor-%016" PRIx64 "%s", bits, ascii ? "" : "-\xc3\xa9");
    return 0;
}

static bool write_is_done(const struct task *t) {
    return t->result.outcome == OUTCOME_DONE;
}

/* One attempt at a task; transient failures are repeated. */
static void write_run(const struct examination *x, struct task *t) {
    for (int tries = 0; tries < TRIES; tries++) {
        examine_task_run(x, t);
        if (write_is_done(t) || !t->result.transient || signals_stop_count() > 1)
            return;
        examine_wait(x, PAUSE_MS);
    }
}

/* Writes the probe once. t has the result. */
static void write_put(const struct examination *x, struct task *t, struct slice dest, enum integrity integrity) {
    static const char text[] = PROBE_TEXT;
    examine_task_init(x, t, JOB_PUT, dest);
    int err = source_text_new(&t->source, slice_make(text, sizeof text - 1));
    if (err) {
        t->result = (struct task_result){.outcome = OUTCOME_FAILED, .class = FAIL_OUTAGE};
        return;
    }
    t->job.length = t->job.source.file.size = sizeof text - 1;
    t->job.source.file.mode = 0600;
    t->job.integrity = integrity;
    write_run(x, t);
    source_close(&t->source);
}

static void write_report_failure(struct examination *x, const char *operation, const struct task *t) {
    struct check c;
    check_set_text(&c, CHECK_FAIL, t->result.error[0] ? t->result.error : "out of memory");
    if (!c.remedy[0])
        snprintf(c.remedy, sizeof c.remedy, "%s",
                 t->result.class == FAIL_DENIED ? "let the owner of the bucket or directory allow it"
                                                : "look at the destination");
    char detail[CHECK_TEXT_SIZE];
    snprintf(detail, sizeof detail, "%s: %.900s", operation, c.detail);
    snprintf(c.detail, sizeof c.detail, "%s", detail);
    check_report_add(&x->report, "write", &c);
}

/* --- S3 --- */

/* An upload in parts, created and aborted. An upload whose reply was lost is aborted too. False: reported. */
static bool write_upload(struct examination *x, struct slice dest) {
    struct task begin, abort;
    int64_t since_us = clock_real_us();
    examine_task_init(x, &begin, JOB_BEGIN, dest);
    write_run(x, &begin);
    examine_task_init(x, &abort, JOB_ABORT, dest);
    abort.job.handle = slice_of(begin.result.handle);
    abort.since_us = since_us;
    if (write_is_done(&begin) || begin.result.transient)
        write_run(x, &abort);
    if (!write_is_done(&begin))
        write_report_failure(x, "an upload in parts cannot be created", &begin);
    else if (!write_is_done(&abort))
        write_report_failure(x, "an upload in parts cannot be aborted, and one stays there", &abort);
    return write_is_done(&begin) && write_is_done(&abort);
}

/* Whether the store verifies each checksum. Objects may stay. */
static void write_try_checksums(const struct examination *x, struct slice dest, bool verifies[INTEGRITY_SHA256 + 1]) {
    for (enum integrity way = INTEGRITY_CRC32C; way <= INTEGRITY_SHA256 && signals_stop_count() == 0; way++) {
        struct task t;
        write_put(x, &t, dest, way);
        verifies[way] = write_is_done(&t) && t.result.integrity == way;
    }
}

static void write_ask_remove(const struct examination *x, struct task *t, struct slice dest) {
    examine_task_init(x, t, JOB_STAT, dest);
    for (int tries = 0; tries < TRIES; tries++) {
        examine_task_ask(x, t, S3_ASK_REMOVE);
        if (write_is_done(t) || !t->result.transient || signals_stop_count() > 1)
            return;
        examine_wait(x, PAUSE_MS);
    }
}

static void write_remove(struct examination *x, struct slice dest, const char *shown) {
    struct task t;
    struct check c;
    write_ask_remove(x, &t, dest);
    if (!write_is_done(&t)) {
        write_report_failure(x, "the object that was written cannot be removed", &t);
        return;
    }
    if (t.result.exists)
        check_set(&c, CHECK_WARN, "remove its versions, or let a lifecycle rule do it",
                  "%s was written and removed, but the bucket keeps versions of it", shown);
    else
        check_set(&c, CHECK_OK, "", "%s was written and removed, an upload in parts created and aborted", shown);
    check_report_add(&x->report, "write", &c);
}

static void write_object(struct examination *x, struct slice dest, const char *shown) {
    bool verifies[INTEGRITY_SHA256 + 1] = {false};
    struct task t;
    struct check c;
    if (!write_upload(x, dest))
        return;
    write_put(x, &t, dest, INTEGRITY_UNKNOWN);
    if (!write_is_done(&t)) {
        struct task removal; /* the store may have the object without having said so */
        write_report_failure(x, "an object cannot be written", &t);
        if (t.result.transient)
            write_ask_remove(x, &removal, dest);
        return;
    }
    enum integrity chosen = t.result.integrity;
    write_try_checksums(x, dest, verifies);
    write_remove(x, dest, shown);
    examine_judge_integrity(&c, chosen, verifies);
    check_report_add(&x->report, "integrity", &c);
}

void examine_write_s3(struct examination *x) {
    char name[EXAMINE_NAME_SIZE];
    struct buf dest = BUF_INIT, shown = BUF_INIT;
    int err = examine_probe_name(true, name);
    if (!err)
        err = dest_join(&dest, slice_of(x->url), slice_of(name));
    if (!err)
        err = text_add_printable(&shown, buf_slice(&dest));
    if (err) {
        struct check c;
        check_set(&c, CHECK_FAIL, "", "%s", err_text(err));
        check_report_add(&x->report, "write", &c);
    } else {
        write_object(x, buf_slice(&dest), shown.data);
    }
    buf_release(&dest);
    buf_release(&shown);
}

/* --- a directory --- */

bool examine_write_file(struct examination *x, const char *dir, const char *name) {
    struct buf allow = BUF_INIT, dest = BUF_INIT;
    struct task t;
    bool written = false;
    int err = buf_addf(&allow, "file://%s", dir);
    if (!err)
        err = dest_join(&dest, buf_slice(&allow), slice_of(name));
    const char *allowed[] = {allow.data};
    if (!err)
        err = backend_file_new(&x->backend, allowed, 1);
    if (err) {
        struct check c;
        check_set(&c, CHECK_FAIL, "", "%s", err_text(err));
        check_report_add(&x->report, "write", &c);
    } else {
        write_put(x, &t, buf_slice(&dest), INTEGRITY_UNKNOWN);
        written = write_is_done(&t);
        if (!written)
            write_report_failure(x, "a file cannot be written", &t);
    }
    buf_release(&allow);
    buf_release(&dest);
    return written;
}
