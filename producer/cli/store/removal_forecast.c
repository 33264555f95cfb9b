#include "producer/cli/store/removal_forecast.h"

#include "producer/cli/store/removal_list.h"
#include "system/exit_status.h"
#include "system/log.h"

struct removal_forecasting {
    struct removal_list *list;
    const struct producer_events *events;
    bool on_s3;
    size_t count, bytes; /* of the present delete request */
};

/* A HEAD for each object; a delete for as many as fit into one job. */
static uint64_t removal_requests(struct removal_forecasting *f, const struct removal_candidate *c) {
    size_t more = question_key_bytes(c->object.dest.len, false);
    bool fits = f->count > 0 && f->count < JOB_KEYS_MAX && f->bytes + more <= QUESTION_KEYS_BYTES;
    f->count = fits ? f->count + 1 : 1;
    f->bytes = fits ? f->bytes + more : question_key_bytes(c->object.dest.len, true);
    if (!f->on_s3)
        return 0;
    return fits ? 1 : 2;
}

static void removal_report(struct removal_forecasting *f, const struct removal_candidate *c) {
    const struct producer_file_view view = {.path = c->src, .dest = c->dest, .size = c->object.size};
    const struct producer_forecast forecast = {.action = FORECAST_DELETE, .requests = removal_requests(f, c)};
    f->events->file_forecast(f->events->arg, &view, &forecast);
}

/* No more than were counted. */
static int removal_report_all(struct removal_forecasting *f, uint64_t max) {
    struct removal_candidate c;
    uint64_t left = 0;
    int err = removal_list_count(f->list, max, &left);
    if (!err)
        err = removal_list_rewind(f->list);
    while (!err && left-- > 0 && (err = removal_list_next(f->list, &c)) == 0)
        removal_report(f, &c);
    return err == ERR_NOT_FOUND ? 0 : err;
}

int removal_forecast(const struct producer *p, const struct producer_config *config, const struct removal_wish *wish,
                     const struct producer_events *events) {
    struct removal_scope scope;
    struct removal_forecasting f = {.events = events, .on_s3 = producer_endpoint(p)[0] != '\0'};
    int err = removal_scope_init(&scope, p, config, wish->excluded);
    if (!err) {
        err = removal_list_open(&f.list, &scope, config->journal_dir);
        if (!err)
            err = removal_report_all(&f, wish->max);
        removal_list_close(&f.list);
        removal_scope_release(&scope);
    }
    if (err == ERR_NOT_FOUND) /* without a journal nothing was recorded */
        return EXIT_DONE;
    if (err == ERR_NOMEM)
        log_error("out of memory");
    return err == ERR_LIMIT || err == ERR_LOST || err == ERR_DAMAGED ? EXIT_SOME_FAILED : exit_status_of_run(err);
}
