#include "scripted_consumer.h"

#include "journal/files.h"
#include "runtime/endpoint.h"
#include "system/clock.h"
#include <sys/wait.h>

char scripted_address[256];
struct scripted scripted;
static struct endpoint *router;
static uint64_t first_number; /* of the first request */
static const struct id128 consumer_id = {{7}};

static void reply(const struct frame *to, const struct msg *question, struct msg *answer) {
    struct buf b = BUF_INIT;
    answer->journal = consumer_id;
    answer->sender = consumer_id;
    answer->number = question->number;
    assert_int_equal(msg_encode(answer, &b), 0);
    int err = endpoint_send(router, to->peer, to->peer_len, buf_slice(&b));
    assert_true(err == 0 || err == ERR_NOT_FOUND);
    buf_release(&b);
}

/* A reply with a number that no request had. */
static void reply_stray(const struct frame *to, const struct msg *question, struct msg answer) {
    struct msg none = *question;
    none.number += 1000;
    if (scripted.stray)
        reply(to, &none, &answer);
}

/* All files of test_journal, one after the other. */
static struct buf scripted_lines(void) {
    struct journal_files files = {0};
    struct buf all = BUF_INIT;
    assert_int_equal(journal_files_list(test_journal.dir, &files), 0);
    for (size_t i = 0; i < files.count; i++) {
        struct buf one = lines_read(&test_journal, files.files[i].name);
        assert_int_equal(buf_add_slice(&all, buf_slice(&one)), 0);
        buf_release(&one);
    }
    journal_files_release(&files);
    return all;
}

static void answer_tail(const struct frame *f, const struct msg *m) {
    struct buf all = scripted_lines(), part = BUF_INIT;
    uint64_t from = m->tail.seq < scripted.first ? scripted.first : m->tail.seq, next = from;
    uint64_t seq = 0;
    for (char *line = all.data; seq < scripted.seq + scripted.beyond; line = strchr(line, '\n') + 1) {
        assert_non_null(line);
        if (++seq < from || m->tail.seq < scripted.first || next - from >= scripted.batch_max)
            continue;
        assert_int_equal(buf_add(&part, line, (size_t)(strchr(line, '\n') - line) + 1), 0);
        next = seq + 1;
    }
    scripted.tails++;
    scripted.last_tail_seq = m->tail.seq;
    scripted.last_wait_ms = m->tail.wait_ms;
    if (scripted.line) {
        buf_clear(&part);
        assert_int_equal(buf_add_text(&part, scripted.line), 0);
    }
    struct msg a = {.type = MSG_RECORDS};
    a.records.epoch = 1;
    a.records.lines = scripted.resync ? slice_of("") : buf_slice(&part);
    a.records.resync = scripted.resync || scripted.resync_with_records;
    a.records.line_count = scripted.resync ? 0 : (uint32_t)(next - from);
    a.records.next = scripted.resync ? m->tail.seq : next;
    a.records.head_seq = scripted.seq;
    a.records.head = slice_of(test_journal.chain.h);
    if (scripted.tail_error)
        a = (struct msg){.type = MSG_ERROR,
                         .error = {.code = scripted.tail_error, .text = slice_of("the journal failed")}};
    if (scripted.tail_error == PROTOCOL_HELLO_FIRST)
        scripted.tail_error = 0;
    reply_stray(f, m, (struct msg){.type = MSG_RECORDS, .records = {.next = 1000, .lines = slice_of("stray\n")}});
    if (a.type == MSG_ERROR || part.len || m->tail.wait_ms == 0 || scripted.answers_empty ||
        m->tail.seq < scripted.first) /* otherwise it waits */
        reply(f, m, &a);
    buf_release(&part);
    buf_release(&all);
}

static void answer_status(const struct frame *f, const struct msg *m) {
    struct upload_status uploads[2] = {0};
    struct worker_status workers[] = {
        {.role = ROLE_UPLOADER, .worker = slice_of("host/12"), .slots = 8, .active = 3, .rate = 1 << 20, .retries = 2},
        {.role = ROLE_PRODUCER, .worker = slice_of("host/13"), .silent_ms = 7000},
        {.role = ROLE_READER, .worker = slice_of("host/14")},
    };
    struct msg a = {.type = MSG_STATE};
    scripted.statuses++;
    for (uint64_t i = m->status.from; i < scripted.uploads && a.state.upload_count < 2; i++) {
        struct upload_status *u = &uploads[a.state.upload_count++];
        u->upload.b[0] = (uint8_t)(i + 1);
        u->path = slice_of("/data/a\nb");
        u->dest = slice_of("s3://bucket/a");
        u->size = 1000 << 20;
        u->done_bytes = 450 << 20;
        u->chunks = 125;
        u->leases = 2;
        u->moving_bytes = 16 << 20;
    }
    a.state.epoch = 3;
    a.state.pid = 4711;
    a.state.head_seq = 99;
    a.state.head = slice_of(test_journal.chain.h);
    a.state.journal_dir = slice_of("/state/journal");
    a.state.uploads = uploads;
    a.state.workers = workers;
    a.state.worker_count = 3;
    a.state.finished = 57;
    uint64_t shown = m->status.from + a.state.upload_count;
    a.state.next = shown < scripted.uploads ? shown : 0;
    reply(f, m, &a);
}

static void answer_forget(const struct frame *f, const struct msg *m) {
    struct msg a = {.type = MSG_FORGOTTEN};
    scripted.forgets++;
    scripted.forget_unfinished = m->forget.unfinished;
    scripted.forget_ids_len = m->forget.uploads.len;
    assert_true(m->forget.uploads.len <= sizeof scripted.forget_ids);
    memcpy(scripted.forget_ids, m->forget.uploads.ptr, m->forget.uploads.len);
    if (scripted.forget_error)
        a.forgotten.error = slice_of(scripted.forget_error);
    else if (!scripted.forgets_none)
        a.forgotten.uploads = m->forget.uploads;
    reply(f, m, &a);
}

/* Every upload that is to be aborted has ended already, unless `aborting`. Every file is refused. */
static void answer_plan(const struct frame *f, const struct msg *m) {
    struct planned_file files[8] = {0};
    struct msg a = {.type = MSG_PLANNED, .planned = {.files = files, .file_count = m->plan.file_count}};
    assert_true(m->plan.file_count <= 8);
    for (size_t i = 0; i < m->plan.file_count; i++) {
        bool drop = m->plan.files[i].drop;
        files[i] = (struct planned_file){.index = m->plan.files[i].index,
                                         .upload = m->plan.files[i].upload,
                                         .state = drop ? PLANNED_NEW : PLANNED_REFUSED,
                                         .error = slice_of(drop ? "" : "not here")};
        if (drop && scripted.aborting)
            files[i].superseded = m->plan.files[i].upload;
    }
    reply(f, m, &a);
}

static void answer_set(const struct frame *f, const struct msg *m) {
    struct msg a = {.type = MSG_SETTINGS, .settings = scripted.settings};
    scripted.sets++;
    scripted.last_set = m->set;
    reply_stray(f, m, (struct msg){.type = MSG_SETTINGS, .settings = {.slots = 99}});
    reply(f, m, &a);
}

static void answer(const struct frame *f, const struct msg *m) {
    struct msg a = {.type = MSG_WELCOME};
    if (m->type == MSG_BYE)
        scripted.byes++;
    if (scripted.silent || (scripted.falls_silent && scripted.hellos > 0))
        return;
    struct msg first = *m;
    if (m->type != MSG_HELLO && m->type != MSG_BYE) {
        scripted.requests++;
        if (scripted.requests == 1)
            first_number = m->number;
        if (scripted.requests <= scripted.lost || (scripted.late && scripted.requests != 2))
            return;
        if (scripted.late)
            first.number = first_number;
        m = &first;
    }
    switch (m->type) {
    case MSG_HELLO:
        assert_true(scripted.role == 0 || m->hello.role == scripted.role);
        scripted.hellos++;
        if (scripted.refuse) {
            a.type = MSG_ERROR;
            a.error.code = PROTOCOL_TOO_MANY;
            a.error.text = slice_of("too many peers");
        } else {
            a.welcome.epoch = 1;
            a.welcome.lease_ms = 10000;
            a.welcome.seq = scripted.seq;
            a.welcome.head = slice_of(test_journal.chain.h);
            a.welcome.pid = 4711;
        }
        reply(f, m, &a);
        return;
    case MSG_TAIL:
        answer_tail(f, m);
        return;
    case MSG_STATUS:
        answer_status(f, m);
        return;
    case MSG_PLAN:
        answer_plan(f, m);
        return;
    case MSG_SET:
        answer_set(f, m);
        return;
    case MSG_FORGET:
        answer_forget(f, m);
        return;
    default:
        return;
    }
}

void scripted_serve(int ms) {
    struct wait_item item = {.endpoint = router, .fd = -1, .want = ENDPOINT_IN};
    struct frame f = FRAME_INIT;
    struct msg m;
    assert_int_equal(endpoint_wait(&item, 1, ms), 0);
    while (endpoint_recv(router, &f) == 0) {
        assert_int_equal(msg_decode(f.data, &m), 0);
        answer(&f, &m);
        msg_release(&m);
    }
    frame_release(&f);
}

int scripted_until_end(pid_t pid) {
    int status = -1;
    uint64_t deadline = clock_ms() + 30000;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        assert_true(clock_ms() < deadline);
        scripted_serve(5);
    }
    scripted_serve(50); /* its BYE */
    command_read_output();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void scripted_until_output(const char *text) {
    uint64_t deadline = clock_ms() + 10000;
    do {
        assert_true(clock_ms() < deadline);
        scripted_serve(5);
        file_read_text("stdout", command_out, sizeof command_out);
    } while (!strstr(command_out, text));
}

void scripted_bind(void) {
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, scripted_address), 0);
}

int scripted_setup(void **state) {
    (void)state;
    memset(&scripted, 0, sizeof scripted);
    scripted.first = 1;
    scripted.role = ROLE_READER;
    scripted.batch_max = 1000;
    lines_begin(&test_journal);
    snprintf(scripted_address, sizeof scripted_address, "ipc:///tmp/cl-%ld-%s", (long)getpid(),
             test_journal.dir + strlen("journal"));
    lines_write(&test_journal, "../stdout", slice_of(""));
    return 0;
}

int scripted_teardown(void **state) {
    (void)state;
    endpoint_close(&router);
    endpoint_shutdown_all(); /* before the next fork */
    unlink(scripted_address + strlen("ipc://"));
    lines_end(&test_journal);
    return 0;
}

/* Before the next fork. */
void scripted_unbind(void) {
    endpoint_close(&router);
    endpoint_shutdown_all();
}

int scripted_run(int argc, const char **argv) {
    pid_t pid = command_start(argc, argv);
    scripted_bind();
    int status = scripted_until_end(pid);
    scripted_unbind();
    return status;
}
