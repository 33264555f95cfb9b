/* FORGET: which uploads may be removed from the journal while the consumer runs. */
#include "consumer_world.h"

#define S3 "s3://bucket/a"

static const struct msg *forget(const struct id128 *ids, size_t count, bool unfinished) {
    struct msg m = {.type = MSG_FORGET};
    m.forget =
        (struct msg_forget){.uploads = slice_make((const char *)ids, count * sizeof *ids), .unfinished = unfinished};
    world_deliver('R', &m);
    return world_answer('R', MSG_FORGOTTEN);
}

static void assert_forgotten(const struct id128 *ids, size_t count, bool unfinished, size_t forgotten) {
    unsigned before = world_count("forget");
    const struct msg *m = forget(ids, count, unfinished);
    assert_int_equal(m->forgotten.error.len, 0);
    assert_int_equal(m->forgotten.uploads.len, forgotten * sizeof *ids);
    assert_int_equal(world_count("forget"), before + forgotten);
}

static void assert_kept(const struct id128 *ids, size_t count, bool unfinished, const char *why) {
    const struct msg *m = forget(ids, count, unfinished);
    assert_int_equal(m->forgotten.uploads.len, 0);
    assert_non_null(memmem(m->forgotten.error.ptr, m->forgotten.error.len, why, strlen(why)));
    assert_int_equal(world_count("forget"), 0);
}

static struct id128 finished(const char *path, const char *dest) {
    struct id128 id = world_begun('P', 'U', path, dest, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    return id;
}

static void join_peers(void) {
    world_join();
    world_hello('R', ROLE_READER);
}

static void test_finished_uploads_are_forgotten(void **state) {
    (void)state;
    join_peers();
    struct id128 ids[] = {finished("/src/a", S3), finished("/src/b", "s3://bucket/b")};
    assert_forgotten(ids, 2, false, 2);
    struct plan_file file = world_file("/src/a", S3, PART);
    assert_int_equal(world_plan('P', &file).state, PLANNED_NEW);
    assert_forgotten(ids, 2, false, 0); /* repeated: they are not known */
}

/* The producer or a holder may still send results. */
static void test_an_upload_in_use_is_kept(void **state) {
    (void)state;
    join_peers();
    struct id128 ids[] = {finished("/src/b", "s3://bucket/b"), world_begun('P', 'U', "/src/a", S3, 2)};
    assert_kept(ids, 2, true, "is being uploaded"); /* all or none */
    assert_kept(ids + 1, 1, false, "is being uploaded");
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, ids[1], 0), "H").kind, VERDICT_GRANT);
    world_bye('P');
    assert_kept(ids + 1, 1, true, "is being uploaded"); /* a lease */
    world_release('U', world_ref(JOB_CHUNK, ids[1], 0), WHY_DRAIN);
    assert_kept(ids + 1, 1, false, "is not finished");
    assert_forgotten(ids, 2, true, 2);
    assert_null(state_find(&world.c->state, &ids[1]));
}

static void test_the_last_producer_keeps_its_uploads(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_hello('U', ROLE_UPLOADER);
    for (int i = 0; i < PRODUCERS_MAX - 1; i++)
        world_hello((char)(1 + i), ROLE_PRODUCER);
    world_hello('p', ROLE_PRODUCER);
    assert_int_equal(world.c->peers.producers[PRODUCERS_MAX - 1]->incarnation.b[0], 'p');
    struct id128 id = world_begun('p', 'U', "/src/a", S3, 2);
    assert_kept(&id, 1, true, "is being uploaded");
}

static void test_a_plan_has_no_record_to_forget(void **state) {
    (void)state;
    join_peers();
    struct plan_file file = world_file("/src/a", S3, PART);
    struct id128 id = world_plan('P', &file).upload;
    assert_forgotten(&id, 1, false, 0);
    assert_non_null(state_find(&world.c->state, &id));
}

static void test_the_error_names_the_upload(void **state) {
    (void)state;
    char hex[ID_HEX_SIZE];
    join_peers();
    struct id128 ids[] = {world_begun('P', 'U', "/src/a", S3, 2), finished("/src/b", "s3://bucket/b")};
    id_to_hex(&ids[0], hex);
    assert_kept(ids, 2, false, hex);
}

static void test_ids_are_16_bytes_each(void **state) {
    (void)state;
    join_peers();
    struct id128 id = finished("/src/a", S3);
    struct msg m = {.type = MSG_FORGET, .forget = {.uploads = slice_make((const char *)id.b, sizeof id.b - 1)}};
    world_deliver('R', &m);
    assert_int_equal(world_answer('R', MSG_ERROR)->error.code, PROTOCOL_MALFORMED);
    assert_int_equal(world_count("forget"), 0);
}

UNIT_MAIN(WORLD_TEST(test_finished_uploads_are_forgotten), WORLD_TEST(test_an_upload_in_use_is_kept),
          WORLD_TEST(test_the_last_producer_keeps_its_uploads), WORLD_TEST(test_a_plan_has_no_record_to_forget),
          WORLD_TEST(test_the_error_names_the_upload), WORLD_TEST(test_ids_are_16_bytes_each))
