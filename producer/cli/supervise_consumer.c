/*
 * The journal's consumer. Any `cp` that finds no consumer for the directory starts one. Two can try at once: the lock
 * on the directory decides, the losing consumer ends with EXIT_JOURNAL_BUSY, and its `cp` joins the other one.
 *
 * When the journal's disk is full or fails, the consumer ends but the run does not: uploaders keep the results that were
 * not acknowledged, and consumers are started until one keeps running or --retry-for is over. If no consumer ever
 * answered in this run, it ends at once.
 */
#include "producer/cli/consumer_log.h"
#include "producer/cli/supervise_internal.h"
#include "pure/deadline.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/fault.h"
#include "system/fs_facts.h"
#include "system/log.h"
#include "system/spawn.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#define TRIES_MAX 5 /* consecutive starts without an answer */
#define START_PAUSE_MS 500u
#define LOOK_MS 250u          /* interval between two checks of the lock */
#define SETTLED_MS 5000u      /* a consumer that ran for this time counts as a success */
#define SILENT_MS 15000u      /* silence of a live process before it is reported */
#define OUTAGE_PAUSE_MS 1000u /* between two starts on a disk that failed */
#define OUTAGE_FOR_MS 600000u /* the default of --retry-for */

static const char *consumer_text(const struct buf *b) {
    return b->data ? b->data : "";
}

bool consumer_is_running(const struct supervisor *s) {
    return journal_lock_is_held(s->o.journal_dir, NULL);
}

static int consumer_start(struct supervisor *s, uint64_t now_ms) {
    struct arguments a = {.count = 0};
    arguments_add(&a, consumer_text(&s->consumer_program));
    arguments_add(&a, "--for-cp");
    arguments_add_option(&a, "--journal", s->o.journal_dir);
    arguments_add_option(&a, "--journal-id", s->journal);
    arguments_add_number(&a, "--lease", s->o.lease_ms, "ms");
    arguments_add_option(&a, "--log-file", s->o.log_file);
    if (s->o.no_second_lease)
        arguments_add(&a, "--no-second-lease");
    if (s->o.verbose)
        arguments_add(&a, "-v");
    s->log_start = consumer_log_size(consumer_text(&s->log_path));
    s->consumer_tries++;
    s->consumer.start_at_ms = now_ms + START_PAUSE_MS;
    log_debug("starting a journal consumer for %s", s->o.journal_dir);
    int err = spawn(&(struct spawn_options){.argv = a.items,
                                            .new_session = true,
                                            .log_path = consumer_text(&s->log_path),
                                            .hold_hangup = s->o.log_file != NULL},
                    &s->consumer.pid);
    FAULT_POINT_IF(err == 0, cp_consumer_started, "");
    return err ? ERR_UNREACHABLE : 0;
}

/* --- outages of the journal's disk --- */

/* A start on a disk that is visibly full is skipped. */
static bool journal_disk_is_full(const struct supervisor *s) {
    struct fs_facts fs;
    return fs_facts_read(s->o.journal_dir, &fs) == 0 && (fs.free_bytes == 0 || fs.free_files == 0);
}

static void consumer_describe_full(const struct supervisor *s, char *reason, size_t size) {
    snprintf(reason, size, "%s: no space left for the journal; nothing was acknowledged; free some space",
             s->o.journal_dir);
}

static uint64_t outage_limit_ms(const struct supervisor *s) {
    return s->o.retry_for_ms ? s->o.retry_for_ms : OUTAGE_FOR_MS;
}

static int consumer_give_up(struct supervisor *s, const char *reason) {
    s->given_up = true;
    log_error("%s", reason);
    return ERR_UNREACHABLE;
}

/* The journal's disk failed during the run. The failure can pass. */
static int consumer_outage(struct supervisor *s, const char *reason, uint64_t now_ms) {
    s->consumer_tries = 0;
    s->consumer.start_at_ms = now_ms + OUTAGE_PAUSE_MS;
    if (s->outage_since_ms == 0) {
        s->outage_since_ms = now_ms;
        log_warn("%s; tried again for %" PRIu64 " s, uploaders keep what they have", reason, outage_limit_ms(s) / 1000);
        return 0;
    }
    return now_ms - s->outage_since_ms < outage_limit_ms(s) ? 0 : consumer_give_up(s, reason);
}

/* --- its end --- */

/* Its log may be lost with the directory. No other consumer is started: it would begin an empty journal. */
static int consumer_lost_journal(struct supervisor *s, char *reason, size_t size) {
    s->journal_is_lost = true;
    if (!reason[0])
        snprintf(reason, size,
                 "%s: the journal was removed or replaced while it was in use; nothing more is acknowledged; bring it "
                 "back before the next start",
                 s->o.journal_dir);
    return consumer_give_up(s, reason);
}

/* The exit status decides; the last line of its log is only shown. */
int consumer_handle_end(struct supervisor *s, int status, uint64_t now_ms) {
    char reason[512];
    s->consumer.pid = 0;
    consumer_log_last_line(consumer_text(&s->log_path), s->log_start, reason, sizeof reason);
    if (child_exited_with(status, EXIT_JOURNAL_LOST))
        return consumer_lost_journal(s, reason, sizeof reason);
    if (s->stopping || child_exited_with(status, EXIT_DONE))
        return 0;
    if (WIFSIGNALED(status)) {
        log_warn("journal consumer was killed by signal %d; starting it again", WTERMSIG(status));
        s->consumer.start_at_ms = s->consumer_look_ms = now_ms;
        return 0;
    }
    if (child_exited_with(status, EXIT_JOURNAL_BUSY) || consumer_is_running(s)) { /* another cp started one first */
        s->consumer_tries = 0;
        return 0;
    }
    bool full = child_exited_with(status, EXIT_JOURNAL_FULL);
    if (full)
        consumer_describe_full(s, reason, sizeof reason);
    else if (!reason[0])
        snprintf(reason, sizeof reason, "%s: the journal consumer ended without an error message; see %s",
                 s->o.journal_dir, consumer_text(&s->log_path));
    bool can_pass = full || child_exited_with(status, EXIT_JOURNAL_DISK);
    return can_pass && s->was_connected ? consumer_outage(s, reason, now_ms) : consumer_give_up(s, reason);
}

/* --- its start --- */

/* Starts a consumer if none serves the directory, unless one was just started or too many starts failed. */
static int consumer_replace(struct supervisor *s, uint64_t now_ms) {
    if (s->consumer.pid != 0 || now_ms < s->consumer.start_at_ms || consumer_is_running(s))
        return 0;
    if (s->outage_since_ms && journal_disk_is_full(s)) {
        char reason[512];
        consumer_describe_full(s, reason, sizeof reason);
        return consumer_outage(s, reason, now_ms);
    }
    if (s->consumer_tries >= TRIES_MAX) {
        log_error("%s: no journal consumer can be kept running; see %s", s->o.journal_dir, consumer_text(&s->log_path));
        s->given_up = true;
        return ERR_UNREACHABLE;
    }
    s->silent_since_ms = now_ms;
    return consumer_start(s, now_ms);
}

static int consumer_watch_silence(struct supervisor *s, uint64_t now_ms) {
    if (now_ms - s->silent_since_ms <= SILENT_MS)
        return 0;
    if (!s->was_connected) {
        log_error("%s: is in use by a process that does not answer; end it (%s/lock names its pid) or name another "
                  "--journal",
                  s->o.journal_dir, s->o.journal_dir);
        return ERR_UNREACHABLE;
    }
    log_warn("%s: its consumer has not answered for %u s; still trying", s->o.journal_dir, SILENT_MS / 1000);
    s->silent_since_ms = now_ms;
    return 0;
}

/* The lock is checked even while the producer counts as connected: a missing lock shows a dead consumer at once, the
 * session notices only after seconds of silence. */
int consumer_service(struct supervisor *s, bool connected, uint64_t now_ms, uint64_t *deadline_ms) {
    int err = 0;
    if (s->o.consumer || s->stopping)
        return 0;
    if (connected && now_ms >= s->consumer.start_at_ms + SETTLED_MS)
        s->consumer_tries = s->outage_since_ms = 0;
    if (connected || s->silent_since_ms == 0)
        s->silent_since_ms = now_ms;
    if (now_ms >= s->consumer_look_ms) {
        s->consumer_look_ms = now_ms + LOOK_MS;
        err = consumer_replace(s, now_ms);
    }
    s->was_connected = s->was_connected || connected;
    if (!err)
        err = consumer_watch_silence(s, now_ms);
    deadline_lower(deadline_ms, s->consumer_look_ms);
    return err;
}
