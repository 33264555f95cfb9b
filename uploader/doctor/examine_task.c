#include "uploader/doctor/examine_internal.h"

#include "system/clock.h"
#include "system/signals.h"
#include <stdio.h>
#include <sys/random.h>

#define STEP_MS 20

void examine_task_init(const struct examination *x, struct task *t, enum job_kind kind, struct slice dest) {
    *t = (struct task){.properties = &x->properties, .lease_deadline_ms = UINT64_MAX};
    t->job.ref.kind = kind;
    t->job.target = (struct target){.dest = dest, .endpoint = slice_of(x->settings->endpoint_url)};
    if (getrandom(&t->job.ref.upload, sizeof t->job.ref.upload, 0) == -1)
        t->job.ref.upload = (struct id128){{1}}; /* it only names the owner of an object */
}

void examine_wait(const struct examination *x, int ms) {
    struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
    if (x->http) {
        http_perform(x->http);
        http_wait(x->http, &signals, 1, ms);
        http_perform(x->http);
    } else {
        poll(&signals, 1, ms);
    }
    if (signals.revents)
        signals_drain();
}

static void task_mark_done(struct task *t, void *arg) {
    (void)t;
    *(bool *)arg = true;
}

static void task_set_failure(struct task *t, const char *why) {
    t->result = (struct task_result){.outcome = OUTCOME_FAILED, .class = FAIL_OUTAGE};
    snprintf(t->result.error, sizeof t->result.error, "%s", why);
}

/* err: of its start. */
static void task_await(const struct examination *x, struct task *t, const bool *done, int err) {
    if (err) {
        task_set_failure(t, err_text(err));
        return;
    }
    while (!*done) {
        bool busy = x->backend->ops->step(x->backend);
        if (*done)
            return;
        examine_wait(x, busy ? 0 : STEP_MS);
        if (!*done && signals_stop_count() > 1) {
            x->backend->ops->cancel(x->backend, t);
            task_set_failure(t, "interrupted");
            return;
        }
    }
}

void examine_task_run(const struct examination *x, struct task *t) {
    bool done = false;
    t->done = task_mark_done;
    t->done_arg = &done;
    task_await(x, t, &done, x->backend->ops->start(x->backend, t));
}

void examine_task_ask(const struct examination *x, struct task *t, enum s3_question question) {
    bool done = false;
    t->done = task_mark_done;
    t->done_arg = &done;
    task_await(x, t, &done, backend_s3_ask(x->backend, t, question));
}
