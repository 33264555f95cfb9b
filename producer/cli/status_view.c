#include "producer/cli/status_view.h"

#include "pure/text.h"
#include "pure/units.h"
#include "system/json_line.h"
#include "system/output.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>

#define OUTAGE_MS 2000 /* a shorter outage is not shown */
#define NAMED_MAX 10   /* uploads of a group with lines of their own */
#define EXAMPLES_MAX 2 /* the same for failed ones, per class */

static const char *status_role_name(enum role role) {
    return role == ROLE_PRODUCER ? "producer" : role == ROLE_UPLOADER ? "uploader" : "reader";
}

static int status_json_consumer(const struct msg_state *s) {
    struct json_line l;
    json_line_begin(&l, "consumer");
    json_line_number(&l, "pid", s->pid);
    json_line_number(&l, "epoch", s->epoch);
    json_line_number(&l, "seq", s->head_seq);
    json_line_text(&l, "head", s->head);
    json_line_name(&l, "journal", s->journal_dir);
    json_line_number(&l, "finished", s->finished);
    return json_line_end(&l);
}

static int status_json_trouble(const struct worker_status *w, const struct trouble *t) {
    struct json_line l;
    json_line_begin(&l, "trouble");
    json_line_text(&l, "worker", w->worker);
    json_line_name(&l, "place", t->location);
    json_line_text(&l, "class", slice_of(fail_class_name(t->class)));
    json_line_text(&l, "error", t->error);
    json_line_number(&l, "since_ms", t->since_ms);
    json_line_number(&l, "out_ms", t->out_ms);
    return json_line_end(&l);
}

static int status_json_worker(const struct worker_status *w) {
    struct json_line l;
    json_line_begin(&l, status_role_name(w->role));
    json_line_text(&l, "worker", w->worker);
    if (w->role == ROLE_UPLOADER) {
        json_line_number(&l, "slots", w->slots);
        json_line_text(&l, "slots_why", slice_of(slots_why_name(w->slots_why)));
        json_line_number(&l, "reply_us", w->reply_us);
        json_line_number(&l, "work_us", w->work_us);
        json_line_number(&l, "active", w->active);
        json_line_number(&l, "free", w->free);
        json_line_number(&l, "sent_bytes", w->sent_bytes);
        json_line_number(&l, "rate", w->rate);
        json_line_number(&l, "retries", w->retries);
        json_line_number(&l, "bwlimit", w->bwlimit);
        json_line_number(&l, "fetched_bytes", w->fetched_bytes);
        if (w->outage_ms) {
            json_line_text(&l, "outage", w->outage);
            json_line_number(&l, "outage_ms", w->outage_ms);
        }
        if (w->integrity)
            json_line_text(&l, "integrity", slice_of(integrity_name(w->integrity)));
    }
    json_line_number(&l, "silent_ms", w->silent_ms);
    int err = json_line_end(&l);
    for (size_t i = 0; !err && i < w->trouble_count; i++)
        err = status_json_trouble(w, &w->troubles[i]);
    return err;
}

static int status_json_limits(const struct msg_state *s) {
    struct json_line l;
    json_line_begin(&l, "settings");
    json_line_number(&l, "uploaders", s->local_uploaders);
    json_line_number(&l, "slots", s->slots);
    json_line_number(&l, "bwlimit", s->bwlimit);
    status_view_json_plan(&l, &s->bwlimit_plan);
    int err = json_line_end(&l);
    for (size_t i = 0; !err && i < s->brake_count; i++) {
        const struct brake_status *b = &s->brakes[i];
        json_line_begin(&l, "brake");
        json_line_text(&l, "endpoint", b->endpoint);
        json_line_number(&l, "requests_per_1000s", b->rate_milli);
        json_line_number(&l, "pause_ms", b->pause_ms);
        json_line_number(&l, "refused", b->throttles);
        json_line_number(&l, "since_ms", b->since_ms);
        json_line_number(&l, "last_refused_ms", b->last_ms);
        err = json_line_end(&l);
    }
    return err;
}

static int status_json_upload(const struct upload_status *u) {
    struct json_line l;
    json_line_begin(&l, "upload");
    json_line_id(&l, "upload", &u->upload);
    json_line_name(&l, "path", u->path);
    json_line_name(&l, "dest", u->dest);
    json_line_number(&l, "size", u->size);
    json_line_number(&l, "done_bytes", u->done_bytes);
    json_line_number(&l, "moving_bytes", u->moving_bytes);
    json_line_number(&l, "chunks", u->chunks);
    json_line_number(&l, "chunks_done", u->chunks_done);
    json_line_number(&l, "leases", u->leases);
    json_line_number(&l, "second", u->second);
    if (u->class) {
        json_line_text(&l, "class", slice_of(fail_class_name(u->class)));
        json_line_text(&l, "error", u->error);
    }
    return json_line_end(&l);
}

static int status_print_printable(const char *before, struct slice text, const char *after) {
    struct buf b = BUF_INIT;
    int err = text_add_printable(&b, text);
    if (!err)
        printf("%s%s%s", before, b.len ? b.data : "", after);
    buf_release(&b);
    return err;
}

static int status_print_trouble(const struct trouble *t) {
    int err = status_print_printable("           cannot serve ", t->location, ": ");
    if (!err)
        err = status_print_printable("", t->error, "");
    printf(" (for %" PRIu64 " s", t->since_ms / 1000);
    if (t->out_ms)
        printf(", next trial in %" PRIu32 " s", t->out_ms / 1000 + 1);
    puts(")");
    return err;
}

/* An error that the uploader keeps retrying. */
static int status_print_outage(const struct worker_status *w) {
    char text[UNITS_TEXT_SIZE];
    int err = status_print_printable("retrying  ", w->worker, ": ");
    if (!err)
        err = status_print_printable("", w->outage, "");
    printf("; for %s\n", duration_format(w->outage_ms / 1000, text));
    return err;
}

/* Why it has so many slots, for people; empty when they were given. Returns text. */
static const char *status_slots_reason(const struct worker_status *w, char *text, size_t size) {
    static const char *const reasons[] = {[SLOTS_GIVEN] = "",
                                          [SLOTS_NEAR] = ": the store is near",
                                          [SLOTS_REPLY] = "",
                                          [SLOTS_MOST] = ": the most",
                                          [SLOTS_MEMORY] = ": memory allows no more",
                                          [SLOTS_TROUBLE] = ": fewer after refusals or broken connections"};
    char reply[60] = "";
    bool unknown = w->slots_why == SLOTS_NEAR && !w->reply_us; /* no store has replied yet */
    if (w->reply_us)
        snprintf(reply, sizeof reply, ", a reply takes %.1f ms", (double)w->reply_us / 1000);
    snprintf(text, size, " (auto%s%s)", unknown ? "" : reasons[w->slots_why], reply);
    if (w->slots_why == SLOTS_GIVEN)
        *text = '\0';
    return text;
}

static int status_print_worker(const struct worker_status *w) {
    char reason[100], rate[UNITS_TEXT_SIZE], sent[UNITS_TEXT_SIZE], fetched[UNITS_TEXT_SIZE];
    printf("%-9s ", status_role_name(w->role));
    int err = status_print_printable("", w->worker, "");
    if (w->role == ROLE_UPLOADER)
        printf(": %" PRIu32 " of %" PRIu32 " slots busy%s, %s, %s sent, %" PRIu64 " retries", w->active, w->slots,
               status_slots_reason(w, reason, sizeof reason), rate_format((double)w->rate, rate),
               size_format(w->sent_bytes, sent), w->retries);
    if (w->role == ROLE_UPLOADER && w->bwlimit)
        printf(", limited to %s", rate_format((double)w->bwlimit, rate));
    if (w->fetched_bytes)
        printf(", %s fetched from producers", size_format(w->fetched_bytes, fetched));
    if (w->integrity)
        printf(", integrity %s", integrity_name(w->integrity));
    if (w->silent_ms >= 3000)
        printf(", silent for %" PRIu64 " s", w->silent_ms / 1000);
    putchar('\n');
    for (size_t i = 0; !err && i < w->trouble_count; i++)
        err = status_print_trouble(&w->troubles[i]);
    return err || w->outage_ms < OUTAGE_MS ? err : status_print_outage(w);
}

static int status_print_brake(const struct brake_status *b) {
    int err = status_print_printable("brake     ", b->endpoint, ": ");
    double rate = (double)b->rate_milli / 1000;
    printf("%.*f requests a second, for the store refused %" PRIu64 " in %" PRIu64 " s", rate < 10 ? 1 : 0, rate,
           b->throttles, b->since_ms / 1000);
    if (b->pause_ms)
        printf("; it wants a pause of %" PRIu32 " s more", b->pause_ms / 1000 + 1);
    putchar('\n');
    return err;
}

int status_view_plan(const struct bwlimit_plan *p) {
    char rate[UNITS_TEXT_SIZE] = "none", time[UNITS_TEXT_SIZE];
    if (p->timetable.len == 0)
        return 0;
    if (p->next)
        rate_format((double)p->next, rate);
    if (p->next_in_s)
        printf(", %s in %s", rate, duration_format(p->next_in_s, time));
    int err = status_print_printable(" (timetable ", p->timetable, "");
    putchar(')');
    return err;
}

void status_view_json_plan(struct json_line *l, const struct bwlimit_plan *p) {
    if (p->timetable.len == 0)
        return;
    json_line_text(l, "bwlimit_timetable", p->timetable);
    json_line_number(l, "bwlimit_next", p->next);
    json_line_number(l, "bwlimit_next_in_s", p->next_in_s);
}

static int status_print_limits(const struct msg_state *s) {
    char rate[UNITS_TEXT_SIZE] = "none";
    bool limited = s->bwlimit || s->bwlimit_plan.timetable.len > 0;
    int err = 0;
    if (s->local_uploaders || s->slots || limited) {
        printf("set      ");
        if (s->local_uploaders)
            printf(" uploaders %" PRIu32, s->local_uploaders);
        if (s->slots)
            printf(" slots %" PRIu32, s->slots);
        if (s->bwlimit)
            rate_format((double)s->bwlimit, rate);
        if (limited)
            printf(" bwlimit %s", rate);
        err = status_view_plan(&s->bwlimit_plan);
        putchar('\n');
    }
    for (size_t i = 0; !err && i < s->brake_count; i++)
        err = status_print_brake(&s->brakes[i]);
    return err;
}

int status_view_consumer(const struct msg_state *s, bool json, struct status_groups *g) {
    int err = 0;
    for (size_t i = 0; i < s->worker_count; i++)
        g->rate += s->workers[i].rate;
    if (json) {
        err = status_json_consumer(s);
    } else {
        printf("consumer  pid %" PRIu64 ", epoch %" PRIu64 ", %" PRIu64 " uploads finished\n", s->pid, s->epoch,
               s->finished);
        err = status_print_printable("journal   ", s->journal_dir, "\n");
        if (!err)
            err = status_print_printable("head      ", s->head, "");
        printf(", seq %" PRIu64 "\n", s->head_seq);
    }
    if (!err)
        err = json ? status_json_limits(s) : status_print_limits(s);
    for (size_t i = 0; !err && i < s->worker_count; i++)
        if (s->workers[i].role != ROLE_READER)
            err = json ? status_json_worker(&s->workers[i]) : status_print_worker(&s->workers[i]);
    return err ? err : output_check();
}

static unsigned status_percent(uint64_t done, uint64_t size) {
    return size ? (unsigned)((double)done * 100 / (double)size) : 0;
}

static int status_print_names(struct slice src, struct slice dest) {
    int err = status_print_printable("  ", src, " → ");
    return err ? err : status_print_printable("", dest, "\n");
}

static int status_print_upload(const struct upload_status *u, const char *word) {
    char done[UNITS_TEXT_SIZE], size[UNITS_TEXT_SIZE], moving[UNITS_TEXT_SIZE];
    if (u->size == 0 && u->done_bytes > 0) /* standard input, not at its end */
        printf("%-9s       %s so far", word, size_format(u->done_bytes, done));
    else
        printf("%-9s %3u%%  %s of %s", word, status_percent(u->done_bytes, u->size), size_format(u->done_bytes, done),
               size_format(u->size, size));
    if (u->leases)
        printf(", %s moving in %" PRIu32 " transfer%s", size_format(u->moving_bytes, moving), u->leases,
               u->leases == 1 ? "" : "s");
    if (u->second)
        printf(" (%" PRIu32 " of them second leases, for slow chunks)", u->second);
    int err = status_print_names(u->path, u->dest);
    if (!err && u->class)
        err = status_print_printable("               ", u->error, "\n");
    return err;
}

/* ---- groups ---- */

static struct status_group *status_group_of(struct status_groups *g, const struct upload_status *u) {
    return u->leases ? &g->moving : u->class ? &g->failed[u->class <= FAIL_CLASS_LAST ? u->class : 0] : &g->waiting;
}

static int status_print_grouped(struct status_groups *g, const struct upload_status *u, const char *word) {
    struct status_group *group = status_group_of(g, u);
    bool named = group->count < (u->class && !u->leases ? EXAMPLES_MAX : NAMED_MAX);
    group->count++;
    group->size += MAX(u->size, u->done_bytes);
    group->done_bytes += u->done_bytes;
    return named ? status_print_upload(u, u->class && !u->leases ? "failed" : word) : 0;
}

static void status_print_rest(const struct status_group *group, uint64_t named, const char *word, const char *why) {
    char done[UNITS_TEXT_SIZE], size[UNITS_TEXT_SIZE];
    if (group->count <= named)
        return;
    printf("%-9s %" PRIu64 " uploads in all%s%s", word, group->count, why[0] ? ": " : "", why);
    if (group->size) /* the journal's `fail` record has no size */
        printf(", %s of %s", size_format(group->done_bytes, done), size_format(group->size, size));
    putchar('\n');
}

/* The rest of the uploads that have not failed, at the current rate. */
static void status_print_eta(const struct status_groups *g) {
    char left[UNITS_TEXT_SIZE], rate[UNITS_TEXT_SIZE], eta[UNITS_TEXT_SIZE];
    uint64_t bytes = g->moving.size - g->moving.done_bytes + g->waiting.size - g->waiting.done_bytes;
    if (g->rate && bytes)
        printf("left      %s at %s, ETA %s\n", size_format(bytes, left), rate_format((double)g->rate, rate),
               duration_format(bytes / g->rate, eta));
}

int status_view_groups(const struct status_groups *g) {
    status_print_rest(&g->moving, NAMED_MAX, "moving", "");
    status_print_rest(&g->waiting, NAMED_MAX, "waiting", "");
    for (enum fail_class c = FAIL_NONE; c <= FAIL_CLASS_LAST; c++)
        status_print_rest(&g->failed[c], EXAMPLES_MAX, "failed", fail_class_name(c));
    status_print_eta(g);
    return output_check();
}

int status_view_uploads(const struct msg_state *s, bool json, struct status_groups *g) {
    int err = 0;
    for (size_t i = 0; !err && i < s->upload_count; i++)
        err = json ? status_json_upload(&s->uploads[i]) : status_print_grouped(g, &s->uploads[i], "upload");
    return err ? err : output_check();
}

int status_view_stored(const struct upload_summary *u, bool json, struct status_groups *g) {
    bool failed = u->state == UPLOAD_FAILED;
    struct upload_status now = {
        .upload = u->id,
        .path = u->src,
        .dest = u->dest,
        .size = u->size,
        .done_bytes = u->done_bytes,
        .chunks = u->open_ended ? 0 : u->geometry.chunks,
        .chunks_done = u->chunks_done,
        .class = failed ? fail_class_from_name(u->class) : FAIL_NONE,
        .error = failed ? u->error : slice_of(""),
    };
    int err = json ? status_json_upload(&now) : status_print_grouped(g, &now, failed ? "failed" : "unfinished ");
    return err ? err : output_check();
}

int status_view_totals(const struct journal_totals *t, const char *dir, bool json) {
    int err;
    if (json) {
        struct json_line l;
        json_line_begin(&l, "stored");
        json_line_name(&l, "journal", slice_of(dir));
        json_line_number(&l, "epoch", t->epoch);
        json_line_number(&l, "seq", t->seq);
        json_line_text(&l, "head", slice_of(t->head));
        json_line_number(&l, "finished", t->finished);
        json_line_number(&l, "unfinished", t->unfinished);
        json_line_number(&l, "failed", t->failed);
        err = json_line_end(&l);
    } else {
        printf("no consumer runs; %" PRIu64 " uploads finished, %" PRIu64 " unfinished, %" PRIu64 " failed",
               t->finished, t->unfinished, t->failed);
        if (t->unfinished)
            printf(" (the same command again resumes)");
        putchar('\n');
        err = status_print_printable("journal   ", slice_of(dir), "\n");
    }
    return err ? err : output_check();
}
