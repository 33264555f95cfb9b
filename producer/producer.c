#include "producer/producer.h"
#include "producer/producer_internal.h"
#include "pure/arith.h"
#include "pure/array.h"
#include "system/clock.h"
#include "system/descriptors.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <stdlib.h>

#define ENTRIES_A_STEP 256u

/* --- start and end --- */

/* A dry run leaves given addresses to a run, which may use them at this moment. */
static int producer_choose_addresses(struct producer *p, const struct producer_config *config) {
    bool given = config->jobs_endpoint && !config->dry_run;
    int err =
        given ? buf_add_text(&p->jobs_address, config->jobs_endpoint) : dirs_new_ipc_endpoint("jobs", &p->jobs_address);
    return err || !config->data_endpoint || config->dry_run ? err
                                                            : buf_add_text(&p->data_address, config->data_endpoint);
}

static int producer_open_data(struct producer *p) {
    const char *address = p->data_address.data;
    struct buf fallback = BUF_INIT;
    int err = address ? 0 : data_server_default_address(endpoint_address(p->jobs), &fallback);
    if (err == ERR_NOT_FOUND)
        err = dirs_new_ipc_endpoint("data", &fallback);
    if (err == ERR_INVALID) {
        log_error("--jobs %s: no port is left for file data; name one with --data", endpoint_address(p->jobs));
        err = ERR_USAGE;
    }
    if (!err)
        err = data_server_new(&p->data, address ? address : fallback.data, &p->planner.files);
    if (err == ERR_BUSY && !address)
        log_error("the default endpoint for file data is in use; name another one with --data");
    buf_release(&fallback);
    return err;
}

static int producer_new_session(struct producer *p) {
    struct session_options o = {.role = ROLE_PRODUCER,
                                .consumer = p->consumer,
                                .journal_dir = p->consumer ? NULL : p->journal_dir,
                                .jobs = p->planner.dry_run ? NULL : endpoint_address(p->jobs)};
    int err = session_new(&p->session, &o);
    return err ? err : session_open(p->session);
}

static int producer_copy_text(char **out, const char *text) {
    *out = text ? slice_dup(slice_of(text)) : NULL;
    return text && !*out ? ERR_NOMEM : 0;
}

int producer_prepare(struct producer **out, const struct producer_config *config, const struct producer_events *e) {
    *out = NULL;
    if (!config->consumer && !config->journal_dir) {
        log_error("--consumer or --journal is needed to find the consumer");
        return ERR_USAGE;
    }
    /* First: endpoints derive their connection limit from it. */
    int err = descriptors_require(sub_or_zero(DESCRIPTORS_OF_PRODUCER, config->descriptors_held));
    if (err)
        return err;
    struct producer *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->consumer_wait_ms = config->consumer_wait_ms;
    p->set_wanted = config->set_bwlimit && !config->dry_run;
    p->bwlimit = config->bwlimit;
    p->drain_for_ms = config->drain_for_ms ? config->drain_for_ms : DRAIN_FOR_MS;
    err = planner_init(&p->planner, config, e);
    if (!err)
        err = producer_copy_text(&p->journal_dir, config->journal_dir);
    if (!err)
        err = producer_copy_text(&p->consumer, config->consumer);
    if (!err)
        err = producer_copy_text(&p->timetable, config->timetable);
    if (!err)
        err = producer_choose_addresses(p, config);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    if (err)
        producer_destroy(&p);
    *out = p;
    return err;
}

int producer_open(struct producer *p) {
    int err = endpoint_open(&p->jobs, ENDPOINT_PUSH, p->jobs_address.data);
    if (!err)
        err = producer_open_data(p);
    if (!err)
        err = producer_new_session(p);
    if (!err)
        p->planner.asker = *session_incarnation(p->session);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    return err;
}

int producer_new(struct producer **out, const struct producer_config *config, const struct producer_events *e) {
    int err = producer_prepare(out, config, e);
    if (err)
        return err;
    err = producer_open(*out);
    if (err)
        producer_destroy(out);
    return err;
}

void producer_destroy(struct producer **pp) {
    struct producer *p = *pp;
    if (!p)
        return;
    endpoint_close(&p->jobs);
    data_server_destroy(&p->data);
    session_destroy(&p->session);
    planner_release(&p->planner);
    buf_release(&p->frame);
    buf_release(&p->jobs_address);
    buf_release(&p->data_address);
    free(p->journal_dir);
    free(p->timetable);
    free(p->consumer);
    free(p);
    *pp = NULL;
}

/* --- for drivers --- */

const char *producer_jobs_endpoint(const struct producer *p) {
    return p->jobs ? endpoint_address(p->jobs) : p->jobs_address.data;
}

size_t producer_root_count(const struct producer *p) {
    return p->planner.sources.root_count;
}

const char *producer_root(const struct producer *p, size_t i) {
    return i < p->planner.sources.root_count ? p->planner.sources.roots[i] : NULL;
}

const char *producer_allow(const struct producer *p) {
    return p->planner.sources.allow;
}

const struct id128 *producer_journal(const struct producer *p) {
    return session_journal(p->session);
}

uint64_t producer_journal_seq(const struct producer *p) {
    return sub_or_zero(p->tail_seq, 1);
}

const char *producer_dest(const struct producer *p) {
    return p->planner.sources.dest;
}

const char *producer_endpoint(const struct producer *p) {
    return p->planner.endpoint;
}

/* The URL that the names in a tree are joined to, as in scan_tree_file. */
static int producer_dest_of_tree(const struct sources *s, const struct source_item *item, char **dest) {
    struct buf url = BUF_INIT;
    int err = item->name[0] ? dest_join(&url, slice_of(s->dest), slice_of(item->name)) : buf_add_text(&url, s->dest);
    if (!err)
        err = producer_copy_text(dest, url.data);
    buf_release(&url);
    return err;
}

int producer_copy_trees(const struct producer *p, struct producer_tree **trees, size_t *count) {
    const struct sources *s = &p->planner.sources;
    struct producer_tree *copy = array_zeroed(s->count, sizeof *copy);
    size_t at = 0;
    int err = copy ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < s->count; i++) {
        if (s->items[i].error || !s->items[i].directory)
            continue;
        copy[at].dev = s->items[i].dev;
        copy[at].ino = s->items[i].ino;
        err = producer_copy_text(&copy[at].path, s->items[i].path);
        if (!err)
            err = producer_dest_of_tree(s, &s->items[i], &copy[at].dest);
        at++;
    }
    if (err) {
        producer_free_trees(copy, at);
        return err;
    }
    *trees = copy;
    *count = at;
    return 0;
}

void producer_free_trees(struct producer_tree *trees, size_t count) {
    for (size_t i = 0; i < count; i++) {
        free(trees[i].path);
        free(trees[i].dest);
    }
    free(trees);
}

const struct producer_stats *producer_stats(const struct producer *p) {
    return &p->planner.stats;
}

size_t producer_files(const struct producer *p, struct producer_file_view *views, size_t max) {
    size_t count = 0;
    for (const struct file *f = p->planner.files.first; f && count < max; f = f->next)
        if (f->started_ms != 0)
            planner_view_file(f, &views[count++]);
    return count;
}

const char *producer_trouble(const struct producer *p) {
    return p->trouble[0] ? p->trouble : NULL;
}

void producer_drain(struct producer *p) {
    p->planner.draining = true;
    p->planner.stats.draining = true;
    p->drain_announced = p->drain_confirmed = false;
    p->tail_number = 0; /* the next TAIL announces the drain, at once */
}

bool producer_cancel(struct producer *p) {
    return planner_stream_cancel(&p->planner, clock_ms());
}

bool producer_failed_enough(const struct producer *p) {
    if (!planner_failed_enough(&p->planner))
        return false;
    for (const struct file *f = p->planner.files.first; f; f = f->next)
        if (f->refusal) /* it was reported, and has no record yet */
            return false;
    return true;
}

/* A consumer that does not answer is waited for while results for it may be in flight. */
static bool producer_is_drained(const struct producer *p) {
    if (!p->welcomed || p->planner.files.count == 0)
        return true;
    if (session_is_connected(p->session))
        return p->planner.offers.leased == 0 && p->drain_confirmed;
    return p->planner.offers.leased == 0 || p->drain_is_over;
}

bool producer_is_finished(const struct producer *p) {
    if (p->planner.draining && producer_is_drained(p))
        return true;
    if (p->planner.stream_cancelled && p->drain_is_over)
        return true;
    return !p->planner.stats.walking && p->planner.files.count == 0;
}

int producer_exit_status(const struct producer *p) {
    if (p->planner.unreachable)
        return EXIT_UNUSABLE;
    return p->planner.stats.files_failed > 0 || p->planner.stats.source_errors > 0 ? EXIT_SOME_FAILED : EXIT_DONE;
}

size_t producer_wait_items(struct producer *p, struct wait_item items[PRODUCER_WAIT_ITEMS]) {
    size_t count = 0;
    struct endpoint *conversation = session_endpoint(p->session);
    if (conversation)
        items[count++] = (struct wait_item){
            .endpoint = conversation, .fd = -1, .want = ENDPOINT_IN | (p->conversation_blocked ? ENDPOINT_OUT : 0)};
    /* always an item, so that the socket's connections are handled even without offers */
    items[count++] = (struct wait_item){.endpoint = p->jobs, .fd = -1, .want = p->offers_blocked ? ENDPOINT_OUT : 0};
    items[count++] = (struct wait_item){.endpoint = data_server_endpoint(p->data), .fd = -1, .want = ENDPOINT_IN};
    if (data_server_lender_fd(p->data) != -1)
        items[count++] = (struct wait_item){.fd = data_server_lender_fd(p->data), .want = ENDPOINT_IN};
    if (scan_wait_fd(&p->planner) != -1)
        items[count++] = (struct wait_item){.fd = scan_wait_fd(&p->planner), .want = ENDPOINT_IN};
    return count;
}

/* --- the turn --- */

static void producer_watch_drain(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    bool stops = p->planner.draining || p->planner.stream_cancelled;
    if (!stops || session_is_connected(p->session)) {
        p->absent_ms = 0;
        return;
    }
    p->absent_ms = p->absent_ms ? p->absent_ms : now_ms;
    uint64_t end_ms = p->absent_ms + p->drain_for_ms;
    p->drain_is_over = now_ms >= end_ms;
    deadline_lower(deadline_ms, end_ms);
}

/* A dry run reports nothing before it has a consumer: it may have to look for another one (cli/dry_run.c). */
static int producer_scan(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    bool more = false;
    if (p->planner.dry_run && !p->welcomed)
        return 0;
    if (p->planner.stream)
        return scan_stream_step(&p->planner, now_ms, deadline_ms);
    int err = scan_step(&p->planner, ENTRIES_A_STEP, &more);
    if (more)
        *deadline_ms = now_ms;
    return err;
}

static int producer_verify(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    bool more = false;
    int err = planner_verify_step(&p->planner, now_ms, &more);
    if (more)
        *deadline_ms = now_ms;
    return err;
}

static void producer_update_stats(struct producer *p) {
    struct producer_stats *n = &p->planner.stats;
    n->files_active = (uint32_t)p->planner.files.count;
    n->leases = (uint32_t)p->planner.offers.leased;
    n->lease_bytes = p->planner.offers.leased_bytes;
    n->outstanding = (uint32_t)p->planner.offers.outstanding;
    n->connected = session_is_connected(p->session);
}

static void producer_judge_unserved(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (now_ms >= p->planner.unserved_due_ms)
        planner_judge_unserved(&p->planner, now_ms);
    deadline_lower(deadline_ms, p->planner.unserved_due_ms);
}

int producer_step(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) {
    if (p->started_ms == 0)
        p->started_ms = now_ms;
    p->conversation_blocked = false;
    int err = session_step(p->session, now_ms, deadline_ms);
    if (!err)
        err = conversation_read(p, now_ms, deadline_ms);
    if (!err)
        err = conversation_watch_silence(p, now_ms, deadline_ms);
    if (!err)
        err = producer_scan(p, now_ms, deadline_ms);
    if (!err)
        err = producer_verify(p, now_ms, deadline_ms);
    producer_watch_drain(p, now_ms, deadline_ms);
    bool connected = p->welcomed && session_is_connected(p->session);
    if (!err && connected)
        err = conversation_ask(p, now_ms, deadline_ms);
    if (!err)
        planner_judge_bucket(&p->planner, now_ms);
    if (!err)
        producer_judge_unserved(p, now_ms, deadline_ms);
    if (!err && connected && p->tail_answered && !p->planner.dry_run)
        err = offering_send(p, now_ms, deadline_ms);
    if (!err)
        err = data_server_step(p->data, session_journal(p->session), session_incarnation(p->session), now_ms,
                               deadline_ms);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    producer_update_stats(p);
    return err;
}
