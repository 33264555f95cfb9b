/* STATUS: the pages of uploads, and the workers on the first one. */
#include "consumer_world.h"

static const struct msg_state *status_from(uint64_t from) {
    struct msg m = {.type = MSG_STATUS, .status = {.from = from}};
    world_deliver('R', &m);
    return &world_answer('R', MSG_STATE)->state;
}

static void plan_all(unsigned first, unsigned count, const char *name) {
    char path[1100], dest[32];
    for (unsigned i = first; i < first + count; i++) {
        snprintf(path, sizeof path, "/%s/%u", name, i);
        snprintf(dest, sizeof dest, "file:///dst/%u", i);
        struct plan_file file = world_file(path, dest, PART);
        assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
        world_clear_sent();
    }
}

static void test_uploads_come_in_pages_of_512(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('R', ROLE_READER);
    plan_all(0, 512, "src");
    const struct msg_state *s = status_from(0);
    assert_int_equal(s->upload_count, 512);
    assert_int_equal(s->next, 0);
    plan_all(512, 1, "src");
    s = status_from(0);
    assert_int_equal(s->upload_count, 512);
    assert_int_equal(s->next, 512);
    assert_int_equal(s->worker_count, 2);
    s = status_from(512);
    assert_int_equal(s->upload_count, 1);
    assert_true(slice_equal(s->uploads[0].path, slice_of("/src/512")));
    assert_int_equal(s->next, 0);
    assert_int_equal(s->worker_count, 0); /* they are on the first page */
    assert_int_equal(status_from(513)->upload_count, 0);
}

static void test_uploads_with_long_names_come_in_smaller_pages(void **state) {
    (void)state;
    char name[1001];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    world_hello('P', ROLE_PRODUCER);
    world_hello('R', ROLE_READER);
    plan_all(0, 400, name);
    const struct msg_state *s = status_from(0);
    assert_in_range(s->upload_count, 250, 330);
    assert_int_equal(s->next, s->upload_count);
    assert_int_equal(status_from(s->next)->upload_count, 400 - (int)world_last('R', MSG_STATE)->state.upload_count);
    consumer_set_short_replies(world.c, true);
    s = status_from(0);
    assert_in_range(s->upload_count, 8, 14);
    assert_int_equal(s->next, s->upload_count);
}

static void test_a_page_has_1024_workers(void **state) {
    (void)state;
    struct msg_hello hello = {.role = ROLE_READER, .host = slice_of("host"), .boot = slice_of("boot")};
    world_hello('R', ROLE_READER);
    for (uint32_t i = 0; i < 1024; i++) {
        struct id128 id = {{1}};
        struct peer *peer;
        memcpy(id.b + 1, &i, sizeof i);
        assert_int_equal(peers_add(&world.c->peers, &id, &hello, &peer), 0);
        peer->heard_ms = world.now;
    }
    assert_int_equal(status_from(0)->worker_count, 1024);
}

static void test_a_worker_is_described_by_its_heartbeat(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    struct msg m = {.type = MSG_HEARTBEAT};
    m.heartbeat = (struct msg_heartbeat){.slots = 8,
                                         .active = 5,
                                         .free = 2,
                                         .sent_bytes = 1000,
                                         .retries = 4,
                                         .fetched_bytes = 300,
                                         .bwlimit = 7000,
                                         .integrity = INTEGRITY_MD5};
    world_deliver('U', &m);
    world.now += 700;
    world_hello('R', ROLE_READER);
    const struct msg_state *s = status_from(0);
    assert_int_equal(s->worker_count, 2);
    const struct worker_status *w = &s->workers[0];
    assert_int_equal(w->role, ROLE_UPLOADER);
    assert_int_equal(w->slots, 8);
    assert_int_equal(w->active, 5);
    assert_int_equal(w->free, 2);
    assert_int_equal(w->sent_bytes, 1000);
    assert_int_equal(w->retries, 4);
    assert_int_equal(w->fetched_bytes, 300);
    assert_int_equal(w->bwlimit, 7000);
    assert_int_equal(w->integrity, INTEGRITY_MD5);
    assert_int_equal(w->silent_ms, 700);
    assert_int_equal(s->workers[1].silent_ms, 0);
}

static uint64_t rate_after(uint64_t ms, uint64_t sent_bytes) {
    struct msg m = {.type = MSG_HEARTBEAT, .heartbeat = {.slots = 8, .sent_bytes = sent_bytes}};
    world.now += ms;
    world_deliver('U', &m);
    return status_from(0)->workers[0].rate;
}

static void test_the_rate_is_measured_over_a_second(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    world_hello('R', ROLE_READER);
    assert_int_equal(rate_after(0, 5000), 0); /* sent before this consumer began */
    assert_int_equal(rate_after(999, 1005000), 0);
    assert_int_equal(rate_after(1, 1005000), 1000000);
    assert_int_equal(rate_after(2000, 1405000), 600000); /* the mean of the rate so far and 200,000 */
    assert_int_equal(rate_after(1000, 1000), 600000);    /* the uploader counts from zero again */
    assert_int_equal(rate_after(1000, 1001000), 800000);
    assert_int_equal(rate_after(1000, 1001000), 400000); /* it sent nothing */
}

static void test_finished_uploads_are_counted(void **state) {
    (void)state;
    world_join();
    world_hello('R', ROLE_READER);
    assert_int_equal(status_from(0)->finished, 0);
    for (int i = 0; i < 2; i++) { /* the same file twice */
        struct plan_file file = world_file("/src/a", "file:///dst/a", PART);
        file.flags = PLAN_FORCE;
        struct id128 id = world_plan('P', &file).upload;
        world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
        world_done('U', world_ref(JOB_BEGIN, id, 0), "H");
        world_chunk('U', id, 0);
        world_finish('U', id);
        world_bye('P');
        world_hello('P', ROLE_PRODUCER);
    }
    assert_int_equal(status_from(0)->finished, 2);
}

/* 14 KiB are 16 uploads with 192 bytes and names of 704 each. */
static void test_a_short_page_of_uploads_is_full(void **state) {
    (void)state;
    char name[687];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    world_hello('P', ROLE_PRODUCER);
    world_hello('R', ROLE_READER);
    plan_all(10, 20, name);
    consumer_set_short_replies(world.c, true);
    assert_int_equal(status_from(0)->upload_count, 16);
}

static void add_readers(uint8_t kind, uint8_t count, size_t name_len) {
    char name[200];
    memset(name, 'n', sizeof name);
    struct msg_hello hello = {.role = ROLE_READER, .host = slice_make(name, name_len - 2)}; /* and "/0" */
    for (uint8_t i = 0; i < count; i++) {
        struct id128 id = {{kind, i}};
        struct peer *peer;
        assert_int_equal(peers_add(&world.c->peers, &id, &hello, &peer), 0);
        peer->heard_ms = world.now;
    }
}

/* 14 KiB are 56 workers with 192 bytes and a name of 64 each. */
static void test_a_short_page_of_workers_is_full(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    size_t own = strlen(world.c->peers.all[0]->worker);
    add_readers(1, 1, 128 - own);
    add_readers(2, 60, 64);
    consumer_set_short_replies(world.c, true);
    assert_int_equal(status_from(0)->worker_count, 56);
}

UNIT_MAIN(WORLD_TEST(test_uploads_come_in_pages_of_512), WORLD_TEST(test_uploads_with_long_names_come_in_smaller_pages),
          WORLD_TEST(test_a_page_has_1024_workers), WORLD_TEST(test_a_worker_is_described_by_its_heartbeat),
          WORLD_TEST(test_the_rate_is_measured_over_a_second), WORLD_TEST(test_finished_uploads_are_counted),
          WORLD_TEST(test_a_short_page_of_uploads_is_full), WORLD_TEST(test_a_short_page_of_workers_is_full))
