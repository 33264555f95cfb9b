#include "consumer/report.h"
#include "pure/rfc3339.h"
#include "pure/text.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/output.h"
#include <inttypes.h>
#include <stdio.h>

static const char *const happening_names[] = {
    [HAPPENED_JOINED] = "joined",         [HAPPENED_LEFT] = "left",
    [HAPPENED_VANISHED] = "vanished",     [HAPPENED_REVOKED] = "revoked",
    [HAPPENED_EXPIRED] = "lease-expired", [HAPPENED_SECOND] = "second-lease",
};
static const char *const role_names[] = {
    [ROLE_PRODUCER] = "producer",
    [ROLE_UPLOADER] = "uploader",
    [ROLE_READER] = "reader",
};

static void print_text(const char *name, const char *value) {
    struct buf text = BUF_INIT;
    if (json_add_string_lossy(&text, slice_of(value)) == 0)
        printf(",\"%s\":%s", name, text.data);
    buf_release(&text);
}

static void begin_line(const char *event) {
    char ts[RFC3339_SIZE];
    rfc3339_format(clock_real_us(), ts);
    printf("{\"event\":\"%s\",\"ts\":\"%s\"", event, ts);
}

static void end_line(void) {
    puts("}");
    output_event(); /* a reader that is gone does not stop the journal */
}

void report_listening(bool json, const char *endpoint, const struct journal *j) {
    if (!json) {
        log_info("%s: serving the journal at %s", journal_dir(j), endpoint);
        return;
    }
    begin_line("listening");
    print_text("endpoint", endpoint);
    print_text("journal", journal_dir(j));
    printf(",\"epoch\":%" PRIu64 ",\"seq\":%" PRIu64, journal_epoch(j), journal_seq(j));
    end_line();
}

void report_happened(bool json, enum happening what, const struct peer *peer, const struct ref *job) {
    if (!json) {
        enum log_level level = what == HAPPENED_REVOKED ? LOG_WARN : LOG_DEBUG;
        (level == LOG_WARN ? log_warn : log_debug)("%s %s %s%s%s", role_names[peer->role], peer->worker,
                                                   happening_names[what], job ? ": " : "",
                                                   job ? job_kind_name(job->kind) : "");
        return;
    }
    begin_line(happening_names[what]);
    printf(",\"role\":\"%s\"", role_names[peer->role]);
    print_text("worker", peer->worker);
    if (curve_key_is_set(&peer->key))
        print_text("key", peer->key.text);
    if (job) {
        char hex[ID_HEX_SIZE];
        id_to_hex(&job->upload, hex);
        printf(",\"job\":\"%s\",\"upload\":\"%s\",\"chunk\":%" PRIu32, job_kind_name(job->kind), hex, job->chunk);
    }
    end_line();
}

void report_draining(bool json, size_t leases) {
    if (leases == 0)
        return;
    if (!json) {
        log_info("waiting for %zu %s to end; again to stop now", leases, leases == 1 ? "job" : "jobs");
        return;
    }
    begin_line("draining");
    printf(",\"jobs\":%zu", leases);
    end_line();
}

void report_ended(bool json, const struct journal *j) {
    if (!json) {
        log_debug("%s: ended at seq %" PRIu64, journal_dir(j), journal_seq(j));
        return;
    }
    begin_line("ended");
    printf(",\"seq\":%" PRIu64, journal_seq(j));
    print_text("head", journal_head(j));
    end_line();
}
