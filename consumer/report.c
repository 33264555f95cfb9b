#include "consumer/report.h"
#include "system/clock.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"
#include <inttypes.h>

static const char *const event_names[] = {
    [CONSUMER_EVENT_JOINED] = "joined",         [CONSUMER_EVENT_LEFT] = "left",
    [CONSUMER_EVENT_VANISHED] = "vanished",     [CONSUMER_EVENT_REVOKED] = "revoked",
    [CONSUMER_EVENT_EXPIRED] = "lease-expired", [CONSUMER_EVENT_SECOND] = "second-lease",
};
static const char *const role_names[] = {
    [ROLE_PRODUCER] = "producer",
    [ROLE_UPLOADER] = "uploader",
    [ROLE_READER] = "reader",
};

static void report_begin(struct json_line *l, const char *event) {
    json_line_begin(l, event);
    json_line_time(l, "ts", clock_real_us());
}

static void report_end(struct json_line *l) {
    if (json_line_end(l) == 0)
        output_event(); /* the journal goes on without a reader of stdout */
}

void report_listening(bool json, const char *endpoint, const struct journal *j) {
    if (!json) {
        log_info("%s: serving the journal at %s", journal_dir(j), endpoint);
        return;
    }
    struct json_line l;
    report_begin(&l, "listening");
    json_line_text(&l, "endpoint", slice_of(endpoint));
    json_line_name(&l, "journal", slice_of(journal_dir(j)));
    json_line_number(&l, "epoch", journal_epoch(j));
    json_line_number(&l, "seq", journal_seq(j));
    report_end(&l);
}

static void report_log_event(enum consumer_event event, const struct peer *peer, const struct ref *job) {
    const char *separator = job ? ": " : "", *kind = job ? job_kind_name(job->kind) : "";
    if (event == CONSUMER_EVENT_REVOKED)
        log_warn("%s %s %s%s%s", role_names[peer->role], peer->worker, event_names[event], separator, kind);
    else
        log_debug("%s %s %s%s%s", role_names[peer->role], peer->worker, event_names[event], separator, kind);
}

void report_event(bool json, enum consumer_event event, const struct peer *peer, const struct ref *job) {
    if (!json) {
        report_log_event(event, peer, job);
        return;
    }
    struct json_line l;
    report_begin(&l, event_names[event]);
    json_line_text(&l, "role", slice_of(role_names[peer->role]));
    json_line_text(&l, "worker", slice_of(peer->worker));
    if (curve_key_is_set(&peer->key))
        json_line_text(&l, "key", slice_of(peer->key.text));
    if (job) {
        json_line_text(&l, "job", slice_of(job_kind_name(job->kind)));
        json_line_id(&l, "upload", &job->upload);
        json_line_number(&l, "chunk", job->chunk);
    }
    report_end(&l);
}

void report_draining(bool json, size_t leases) {
    if (leases == 0)
        return;
    if (!json) {
        log_info("waiting for %zu %s to end; again to stop now", leases, leases == 1 ? "job" : "jobs");
        return;
    }
    struct json_line l;
    report_begin(&l, "draining");
    json_line_number(&l, "jobs", leases);
    report_end(&l);
}

void report_ended(bool json, const struct journal *j) {
    if (!json) {
        log_debug("%s: ended at seq %" PRIu64, journal_dir(j), journal_seq(j));
        return;
    }
    struct json_line l;
    report_begin(&l, "ended");
    json_line_number(&l, "seq", journal_seq(j));
    json_line_text(&l, "head", slice_of(journal_head(j)));
    report_end(&l);
}
