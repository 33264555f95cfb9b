/* Questions about objects: their jobs, and the way of the answers to their owner. */
#include "planner_support.h"

#define SIZE (2 * CHUNK + 5)

static struct asked {
    size_t left; /* questions that the planner has not taken */
    uint32_t chunks;
    bool wants_read, wants_record;
    unsigned heads, reads, ended;
    enum fail_class class;
    char reason[64];
    uint32_t crcs[3];
    enum job_kind kind;
    size_t waits; /* questions that are not known before an answer */
    char listing[16];
    const char *const *keys;
    size_t key_count;
    const char *allow;
    enum removal removal; /* the question only records it; or with wants_record, the result of the head */
} asked;

static const struct id128 removed = {{7}};

static int next_question(void *arg, struct producer_question *q) {
    static struct producer_finding finding;
    struct asked *a = arg;
    finding = (struct producer_finding){removed, .removal = a->removal};
    if (a->left == 0)
        return a->waits ? ERR_AGAIN : ERR_NOT_FOUND;
    a->left--;
    *q = (struct producer_question){
        .item = a, .dest = "file:///d/x", .size = SIZE, .geometry = {.chunk_size = CHUNK, .chunks = a->chunks}};
    if (a->key_count)
        *q = (struct producer_question){
            .item = a, .kind = a->kind, .dest = a->keys[0], .keys = a->keys, .key_count = a->key_count};
    else if (a->kind)
        *q = (struct producer_question){
            .item = a, .kind = a->kind, .dest = "s3://bucket/x", .handle = "id", .marker = "key"};
    else if (a->removal && !a->wants_record)
        *q = (struct producer_question){.item = a, .dest = "file:///d/x", .finding = &finding};
    return 0;
}

static bool on_head(void *arg, void *item, const struct producer_answer *answer) {
    struct asked *a = item;
    assert_ptr_equal(arg, item);
    a->heads++;
    return a->wants_read && answer->exists;
}

static void on_read(void *arg, void *item, uint32_t chunk, const struct producer_answer *answer) {
    struct asked *a = item;
    (void)arg;
    a->reads++;
    a->crcs[chunk] = answer->crc;
}

static bool on_answered(void *arg, void *item, struct producer_finding *finding) {
    const struct asked *a = item;
    assert_ptr_equal(arg, item);
    *finding = (struct producer_finding){.upload = removed, .found = FINDING_SIZE, .read = a->reads > 0};
    if (a->removal)
        *finding = (struct producer_finding){.upload = removed, .removal = a->removal};
    return a->wants_record;
}

static void on_ended(void *arg, void *item, enum fail_class class, const char *reason) {
    struct asked *a = item;
    (void)arg;
    a->ended++;
    a->class = class;
    snprintf(a->reason, sizeof a->reason, "%s", reason);
}

static void on_list(void *arg, void *item, struct slice listing) {
    struct asked *a = item;
    (void)arg;
    snprintf(a->listing, sizeof a->listing, "%.*s", (int)listing.len, listing.ptr);
    if (a->waits) { /* the next one is known now */
        a->waits--;
        a->left++;
    }
}

static void look_for_questions(void) {
    bool more;
    assert_int_equal(scan_step(&planner, 100, &more), 0);
    assert_false(more);
}

static void begin(void) {
    const char *dest = asked.kind ? "s3://bucket/x" : "file:///d/x";
    const struct producer_config config = {
        .questions = {&asked, next_question, asked.allow}, .dest = dest, .journal_dir = "/j", .consumer = "ipc:///c"};
    const struct producer_events events = {.arg = &asked,
                                           .question_head = on_head,
                                           .question_read = on_read,
                                           .question_answered = on_answered,
                                           .question_list = on_list,
                                           .question_ended = on_ended};
    assert_int_equal(planner_init(&planner, &config, &events), 0);
    planner.fleet = (struct fleet){.uploaders = 1, .slots = 8, .free = 8, .share = 8};
    look_for_questions();
}

static void start(size_t count, uint32_t chunks, bool wants_read) {
    asked = (struct asked){.left = count, .chunks = chunks, .wants_read = wants_read};
    begin();
    assert_false(planner.stats.walking);
}

static void answer(const struct ref *ref, struct event e) {
    e.ref = *ref;
    e.kind = EVENT_CHECKED;
    planner_receive(200, &e, 1, NULL, 0);
}

static void test_a_question_is_one_head(void **state) {
    struct job jobs[4];
    (void)state;
    start(1, 0, true);
    assert_int_equal(planner_offer_all(100, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_HEAD);
    assert_true(question_is_of(&jobs[0].ref.upload, &planner.asker));
    answer(&jobs[0].ref, (struct event){.exists = true, .size = SIZE});
    assert_int_equal(asked.heads, 1);
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.class, FAIL_NONE);
    assert_int_equal(planner.files.count, 0);
    answer(&jobs[0].ref, (struct event){.exists = true}); /* twice */
    assert_int_equal(asked.heads, 1);
}

static void test_the_ranges_of_an_object_are_read(void **state) {
    struct job jobs[4];
    (void)state;
    start(1, 3, true);
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.exists = true, .size = SIZE});
    assert_int_equal(planner_offer_all(300, jobs, 4), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(jobs[i].ref.kind, JOB_READ);
        assert_int_equal(jobs[i].offset, i * CHUNK);
        assert_int_equal(jobs[i].length, i < 2 ? CHUNK : 5);
        assert_int_equal(asked.ended, 0);
        answer(&jobs[i].ref, (struct event){.exists = true, .has_crc = true, .crc = 10 + i});
    }
    assert_int_equal(asked.reads, 3);
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.crcs[2], 12);
}

static void test_an_object_that_differs_is_not_read(void **state) {
    struct job jobs[4];
    (void)state;
    start(1, 3, true);
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.exists = false});
    assert_int_equal(asked.ended, 1);
}

static void test_a_failure_ends_the_question(void **state) {
    struct job jobs[4];
    (void)state;
    start(1, 0, false);
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.class = FAIL_DENIED, .detail = slice_of("not allowed")});
    assert_int_equal(asked.heads, 0);
    assert_int_equal(asked.class, FAIL_DENIED);
    assert_string_equal(asked.reason, "not allowed");
}

static void test_questions_are_offered_again_after_a_restart(void **state) {
    struct job jobs[4];
    (void)state;
    start(1, 3, true);
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.exists = true, .size = SIZE});
    planner_offer_all(300, jobs, 4);
    answer(&jobs[1].ref, (struct event){.exists = true, .has_crc = true});
    planner_replan_all(&planner, 400);
    assert_int_equal(planner_offer_all(500, jobs, 4), 2); /* what was answered is not asked again */
    assert_int_equal(jobs[1].ref.chunk, 2);
    struct plan_file list[4];
    assert_int_equal(planner_request(1000000, 1, list), 0); /* nothing is planned */
}

static void test_a_page_is_asked_for_after_the_one_before(void **state) {
    struct job jobs[4];
    (void)state;
    asked = (struct asked){.left = 1, .kind = JOB_LIST, .waits = 1};
    begin();
    for (int page = 0; page < 2; page++) {
        assert_int_equal(planner_offer_all(100, jobs, 4), 1);
        assert_int_equal(jobs[0].ref.kind, JOB_LIST);
        assert_true(slice_equal(jobs[0].handle, slice_of("id")) && slice_equal(jobs[0].marker, slice_of("key")));
        assert_int_equal(asked.ended, page);
        answer(&jobs[0].ref, (struct event){.listing = slice_of("a page")});
        assert_string_equal(asked.listing, "a page");
        look_for_questions();
    }
    assert_int_equal(asked.ended, 2);
    assert_false(planner.stats.walking);
}

static void test_a_discard_names_the_upload(void **state) {
    struct job jobs[4];
    (void)state;
    asked = (struct asked){.left = 1, .kind = JOB_DISCARD};
    begin();
    assert_int_equal(planner_offer_all(100, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_DISCARD);
    assert_true(slice_equal(jobs[0].handle, slice_of("id")));
    planner_replan_all(&planner, 200); /* after a restart it is offered again */
    assert_int_equal(planner_offer_all(300, jobs, 4), 1);
    answer(&jobs[0].ref, (struct event){.exists = false});
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.class, FAIL_NONE);
}

static void test_a_denial_only_delays_a_question(void **state) {
    struct job jobs[4];
    (void)state;
    start(1, 0, false);
    planner_offer_all(100, jobs, 4);
    planner_receive_event(150, EVENT_DENIED, &jobs[0].ref, WHY_UNKNOWN, 0);
    assert_int_equal(planner_offer_all(5000, jobs, 4), 1);
    assert_int_equal(asked.ended, 0);
}

/* What was found is recorded before the question ends. */
static void test_a_result_is_recorded_by_a_plan(void **state) {
    struct job jobs[4];
    struct plan_file list[4];
    (void)state;
    start(1, 3, true);
    asked.wants_record = true;
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.exists = true, .size = SIZE});
    assert_int_equal(planner_request(250, 1, list), 0); /* it is being read */
    planner_offer_all(300, jobs, 4);
    for (unsigned i = 0; i < 3; i++)
        answer(&jobs[i].ref, (struct event){.exists = true, .has_crc = true});
    assert_int_equal(asked.ended, 0);
    assert_int_equal(planner_request(350, 2, list), 1);
    assert_int_equal(list[0].found, FINDING_SIZE);
    assert_true(list[0].read);
    assert_int_equal(list[0].upload.b[0], 7);
    assert_true(slice_equal(list[0].target.dest, slice_of("file:///d/x")));
    struct planned_file done = {.index = list[0].index, .upload = {{7}}, .state = PLANNED_DONE};
    planner_answer(400, 1, &done, 1); /* of another request */
    assert_int_equal(asked.ended, 0);
    planner_answer(400, 2, &done, 1);
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.class, FAIL_NONE);
    assert_int_equal(planner.files.count, 0);
}

static void test_a_result_that_cannot_be_recorded_is_a_failure(void **state) {
    struct job jobs[4];
    struct plan_file list[4];
    (void)state;
    start(1, 0, false);
    asked.wants_record = true;
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.exists = false});
    assert_int_equal(planner_request(350, 1, list), 1);
    assert_false(list[0].read);
    struct planned_file refused = {.index = list[0].index, .state = PLANNED_REFUSED, .error = slice_of("no room")};
    planner_answer(400, 1, &refused, 1);
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.class, FAIL_REQUEST);
    assert_string_equal(asked.reason, "no room");
}

/* ---- removals ---- */

static const char *const two_keys[] = {"s3://bucket/x", "s3://bucket/dir/y"};

static void test_a_delete_names_its_objects(void **state) {
    struct job jobs[4];
    (void)state;
    asked = (struct asked){.left = 1, .kind = JOB_DELETE, .keys = two_keys, .key_count = 2};
    begin();
    assert_int_equal(planner_offer_all(100, jobs, 4), 1);
    assert_int_equal(jobs[0].ref.kind, JOB_DELETE);
    assert_int_equal(jobs[0].key_count, 2);
    assert_true(slice_equal(jobs[0].target.dest, slice_of(two_keys[0])));
    for (size_t i = 0; i < 2; i++)
        assert_true(slice_equal(jobs[0].keys[i], slice_of(two_keys[i])));
    planner_replan_all(&planner, 200); /* after a restart it is offered again */
    assert_int_equal(planner_offer_all(300, jobs, 4), 1);
    answer(&jobs[0].ref, (struct event){.listing = slice_of("some are left")});
    assert_string_equal(asked.listing, "some are left");
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.class, FAIL_NONE);
}

/* With the largest properties that a request about an object has, and the longest names of the store. */
static void test_the_keys_of_a_delete_fit_into_an_offer(void **state) {
    enum { SHORT = 40, LONG = PROTO_NAME_MAX };
    static char texts[JOB_KEYS_MAX][LONG + 1], endpoint[PROTO_TEXT_MAX + 1];
    static const char *keys[JOB_KEYS_MAX];
    static char value[PROPERTY_VALUE_MAX + 1];
    const size_t lengths[] = {SHORT, LONG};
    (void)state;
    memset(endpoint, 'e', PROTO_TEXT_MAX);
    memset(value, 'v', PROPERTY_VALUE_MAX);
    for (size_t n = 0; n < 2; n++) {
        size_t count = 0, bytes = 0, more;
        while (count < JOB_KEYS_MAX &&
               bytes + (more = question_key_bytes(lengths[n], count == 0)) <= QUESTION_KEYS_BYTES) {
            snprintf(texts[count], LONG + 1, "s3://bucket/%0*zu", (int)(lengths[n] - strlen("s3://bucket/")), count);
            keys[count] = texts[count];
            count++;
            bytes += more;
        }
        assert_true(count >= (n == 0 ? 250 : 1));
        asked = (struct asked){.left = 1, .kind = JOB_DELETE, .keys = keys, .key_count = count};
        begin();
        struct job job[1];
        assert_int_equal(planner_offer_all(100, job, 1), 1);
        job[0].target.endpoint = job[0].target.region = slice_of(endpoint);
        struct msg m = {.type = MSG_OFFER, .offer = {.jobs = job, .job_count = 1, .data = slice_of(endpoint)}};
        m.offer.properties.sse_c_md5 = slice_of("0123456789012345678901==");
        m.offer.properties.request_payer = m.offer.properties.expected_bucket_owner = slice_make(value, 32);
        struct buf frame = BUF_INIT;
        assert_int_equal(msg_encode(&m, &frame), 0);
        assert_true(frame.len <= PROTO_OFFER_MAX);
        buf_release(&frame);
        planner_release(&planner);
    }
}

/* Its objects were removed, or not: nothing is known. */
static void test_a_failed_delete_ends_the_question(void **state) {
    struct job jobs[4];
    (void)state;
    asked = (struct asked){.left = 1, .kind = JOB_DELETE, .keys = two_keys, .key_count = 2};
    begin();
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.class = FAIL_OUTAGE, .detail = slice_of("no answer")});
    assert_string_equal(asked.listing, "");
    assert_int_equal(asked.class, FAIL_OUTAGE);
    assert_string_equal(asked.reason, "no answer");
}

static void test_a_removal_begins_by_a_plan_after_the_head(void **state) {
    struct job jobs[4];
    struct plan_file list[4];
    (void)state;
    asked = (struct asked){.left = 1, .wants_record = true, .removal = REMOVAL_BEGINS};
    begin();
    planner_offer_all(100, jobs, 4);
    answer(&jobs[0].ref, (struct event){.exists = true, .size = SIZE});
    assert_int_equal(planner_request(250, 1, list), 1);
    assert_int_equal(list[0].removal, REMOVAL_BEGINS);
    assert_int_equal(list[0].found, FINDING_NONE);
    assert_true(id_equal(&list[0].upload, &removed));
    struct planned_file done = {.index = list[0].index, .upload = removed, .state = PLANNED_DONE};
    planner_answer(300, 1, &done, 1);
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.class, FAIL_NONE);
}

/* Without a job. Without an upload in the answer it is asked again. */
static void test_the_end_of_a_removal_is_only_a_plan(void **state) {
    struct job jobs[4];
    struct plan_file list[4];
    (void)state;
    asked = (struct asked){.left = 1, .removal = REMOVAL_DONE};
    begin();
    assert_int_equal(planner_offer_all(100, jobs, 4), 0);
    assert_int_equal(planner_request(100, 1, list), 1);
    assert_int_equal(list[0].removal, REMOVAL_DONE);
    assert_true(slice_equal(list[0].target.dest, slice_of("file:///d/x")));
    struct planned_file answered = {.index = list[0].index, .state = PLANNED_NEW};
    planner_answer(200, 1, &answered, 1);
    assert_int_equal(asked.ended, 0);
    assert_int_equal(planner_request(200 + PLAN_AGAIN_MS - 1, 2, list), 0);
    assert_int_equal(planner_request(200 + PLAN_AGAIN_MS, 3, list), 1);
    planner_replan_all(&planner, 5000); /* the consumer ended before it answered: the same again */
    assert_int_equal(planner_request(5000, 4, list), 1);
    assert_int_equal(list[0].removal, REMOVAL_DONE);
    answered.upload = removed;
    answered.state = PLANNED_DONE;
    planner_answer(5100, 4, &answered, 1);
    assert_int_equal(asked.ended, 1);
    assert_int_equal(asked.class, FAIL_NONE);
    assert_int_equal(planner.files.count, 0);
}

/* It skips the field `removal`, and has planned a file. */
static void test_an_older_consumer_removes_nothing(void **state) {
    struct plan_file list[4];
    (void)state;
    static const struct planned_file answers[] = {{.upload = {{9}}, .state = PLANNED_NEW},
                                                  {.upload = {{7}}, .state = PLANNED_OPEN},
                                                  {.upload = {{9}}, .state = PLANNED_DONE}};
    for (size_t i = 0; i < 3; i++) {
        asked = (struct asked){.left = 1, .removal = REMOVAL_BEGINS};
        begin();
        assert_int_equal(planner_request(100, 1, list), 1);
        struct planned_file answered = answers[i];
        answered.index = list[0].index;
        planner_answer(200, 1, &answered, 1);
        assert_int_equal(asked.class, FAIL_REQUEST);
        assert_non_null(strstr(asked.reason, "does not know removals"));
        planner_release(&planner);
    }
}

/* The uploaders of an errand may serve no more than its objects. */
static void test_questions_can_be_of_a_part_of_the_store(void **state) {
    (void)state;
    asked = (struct asked){.left = 1, .allow = "file:///d"};
    begin();
    assert_string_equal(planner.sources.allow, "file:///d");
    planner_release(&planner);
    asked = (struct asked){.left = 1};
    begin();
    assert_string_equal(planner.sources.allow, "file:///");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, planner_set_up, planner_tear_down)
UNIT_MAIN(TEST(test_a_result_is_recorded_by_a_plan), TEST(test_a_result_that_cannot_be_recorded_is_a_failure),
          TEST(test_a_question_is_one_head), TEST(test_the_ranges_of_an_object_are_read),
          TEST(test_an_object_that_differs_is_not_read), TEST(test_a_failure_ends_the_question),
          TEST(test_questions_are_offered_again_after_a_restart), TEST(test_a_denial_only_delays_a_question),
          TEST(test_a_page_is_asked_for_after_the_one_before), TEST(test_a_discard_names_the_upload),
          TEST(test_a_delete_names_its_objects), TEST(test_the_keys_of_a_delete_fit_into_an_offer),
          TEST(test_a_failed_delete_ends_the_question), TEST(test_a_removal_begins_by_a_plan_after_the_head),
          TEST(test_the_end_of_a_removal_is_only_a_plan), TEST(test_an_older_consumer_removes_nothing),
          TEST(test_questions_can_be_of_a_part_of_the_store))
