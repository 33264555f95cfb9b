#include "producer/cli/doctor/doctor_journal.h"

#include "journal/files.h"
#include "journal/record.h"
#include "journal/walk.h"
#include "producer/cli/doctor/doctor_judge.h"
#include "pure/buf.h"
#include "pure/rfc3339.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/file_io.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNCS 5
#define APPEND_BYTES 512

/* ---- the directory and its disk ---- */

/* A file without a name in the directory; -1 and errno. */
static int nameless_file_open(const char *dir) {
    struct buf path = BUF_INIT;
    int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd != -1 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL))
        return fd;
    if (buf_addf(&path, "%s/.chunklift-doctor-XXXXXX", dir) == 0 && (fd = mkostemp(path.data, O_CLOEXEC)) != -1)
        unlink(path.data);
    int error = errno;
    buf_release(&path);
    errno = error;
    return fd;
}

static int u64_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median time of an append and its sync. ERR_IO, ERR_FULL: errno is set. */
static int sync_measure(int fd, uint64_t *us) {
    static const char bytes[APPEND_BYTES];
    uint64_t times[SYNCS];
    for (int i = 0; i < SYNCS; i++) {
        uint64_t start_ns = clock_ns();
        int err = file_write_all(fd, bytes, sizeof bytes);
        if (err)
            return err;
        if (fdatasync(fd) != 0)
            return ERR_IO;
        times[i] = (clock_ns() - start_ns) / 1000;
    }
    qsort(times, SYNCS, sizeof *times, u64_compare);
    *us = times[SYNCS / 2];
    return 0;
}

static void journal_check_disk(struct check_report *r, const char *dir, int fd) {
    struct fs_facts fs;
    struct check c;
    uint64_t us;
    if (fs_facts_read(dir, &fs) != 0)
        check_set(&c, CHECK_FAIL, "check the disk", "%s: %s", dir, strerror(errno));
    else
        doctor_judge_disk(&c, &fs);
    check_report_add(r, "journal-disk", &c);
    if (sync_measure(fd, &us) != 0)
        check_set(&c, CHECK_FAIL, "check the disk, or name another --journal",
                  "bytes cannot be written and synced in %s: %s", dir, strerror(errno));
    else
        doctor_judge_sync(&c, us);
    check_report_add(r, "journal-sync", &c);
}

/* False: the journal can neither be used nor made there. */
static bool journal_check_directory(struct check_report *r, const char *dir, struct buf *place) {
    struct stat st = {0};
    struct check c;
    bool missing = dirs_find_existing(place, &st);
    int fd = -1;
    if (st.st_mode == 0)
        check_set(&c, CHECK_FAIL, "name another --journal", "%s: %s", dir, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        doctor_judge_directory(&c, place->data, &st, geteuid());
    else if ((fd = nameless_file_open(place->data)) == -1)
        check_set(&c, CHECK_FAIL, "make it writable for this user, or name another --journal",
                  "%s%s cannot be written: %s", place->data, missing ? ", where the journal would be made," : "",
                  strerror(errno));
    else if (missing)
        check_set(&c, CHECK_OK, "", "%s does not exist yet, and can be made", dir);
    else
        doctor_judge_directory(&c, dir, &st, geteuid());
    check_report_add(r, "journal", &c);
    if (fd == -1)
        return false;
    journal_check_disk(r, place->data, fd);
    close(fd);
    return !missing;
}

/* ---- its consumer ---- */

static void journal_check_lock(struct check_report *r, const char *dir) {
    struct consumer_file f;
    struct check c;
    char text[CHECK_TEXT_SIZE];
    pid_t holder;
    bool held = journal_lock_is_held(dir, &holder);
    log_capture(text, sizeof text);
    int err = consumer_file_read(dir, &f);
    log_capture(NULL, 0);
    if (held && !err)
        check_set(&c, CHECK_OK, "", "a consumer runs, process %ld, at %s", (long)f.pid, f.endpoint);
    else if (held)
        check_set(&c, CHECK_WARN, "wait for it, or end it", "in use by process %ld, which answers at no endpoint",
                  (long)holder);
    else if (err == ERR_NOT_FOUND)
        check_set(&c, CHECK_OK, "", "no consumer runs; cp starts one");
    else if (err)
        check_set(&c, CHECK_WARN, "remove it; the next consumer writes a new one", "%s/consumer is damaged", dir);
    else
        check_set(&c, CHECK_OK, "", "no consumer runs; the last one, process %ld, was killed", (long)f.pid);
    check_report_add(r, "journal-lock", &c);
    consumer_file_release(&f);
}

/* ---- its last record ---- */

static void journal_judge_line(struct check *c, struct journal_walk *w, struct slice line, const char *dir) {
    struct record record;
    struct buf scratch = BUF_INIT;
    char when[RFC3339_SIZE];
    int err = record_parse(line, &record, &scratch);
    uint64_t torn = journal_walk_torn(w);
    if (err == ERR_VERSION) {
        check_set(c, CHECK_FAIL, "upgrade chunklift", "the last record of %s is of a later version", dir);
    } else if (err) {
        check_set(c, CHECK_FAIL, "'chunklift journal verify' names the damage", "the last line of %s/%s cannot be read",
                  dir, journal_walk_file(w));
    } else {
        rfc3339_format(record.ts_us, when);
        check_set(c, CHECK_OK, "", "the last one has seq %" PRIu64 " and the time %.19sZ", record.seq, when);
    }
    if (!err && torn > 0 && !journal_lock_is_held(dir, NULL))
        check_set(c, CHECK_WARN, "the next consumer removes them",
                  "%" PRIu64 " bytes of an unfinished record follow seq %" PRIu64, torn, record.seq);
    buf_release(&scratch);
}

/* Reads the last line. 0: c is set. Another error was logged. */
static int journal_judge_last(struct check *c, const char *dir) {
    struct journal_walk *w = NULL;
    struct slice line;
    int err = journal_walk_open_last(&w, dir, 1);
    if (!err)
        err = journal_walk_next(w, &line);
    if (!err) {
        struct slice after;
        struct buf copy = BUF_INIT;
        err = buf_add_slice(&copy, line);
        if (!err && journal_walk_next(w, &after) == ERR_NOT_FOUND) /* now the bytes after the line are counted */
            journal_judge_line(c, w, buf_slice(&copy), dir);
        else if (!err)
            check_set(c, CHECK_OK, "", "records are being written");
        buf_release(&copy);
    } else if (err == ERR_NOT_FOUND) {
        check_set(c, CHECK_OK, "", "none yet");
        err = 0;
    }
    journal_walk_close(&w);
    return err;
}

static void journal_check_records(struct check_report *r, const char *dir) {
    struct check c;
    char text[CHECK_TEXT_SIZE];
    log_capture(text, sizeof text);
    int err = journal_judge_last(&c, dir);
    log_capture(NULL, 0);
    if (err == ERR_LIMIT)
        check_set(&c, CHECK_FAIL, "'chunklift journal verify' names the damage", "a line of %s is too long", dir);
    else if (err)
        check_set_text(&c, CHECK_FAIL, text[0] ? text : err_text(err));
    check_report_add(r, "journal-records", &c);
}

void doctor_check_journal(struct check_report *r, const char *dir) {
    struct buf place = BUF_INIT;
    int err = buf_add_text(&place, dir);
    if (err)
        log_error("%s: %s", dir, err_text(err));
    else if (journal_check_directory(r, dir, &place)) {
        journal_check_lock(r, dir);
        journal_check_records(r, dir);
    }
    buf_release(&place);
}
