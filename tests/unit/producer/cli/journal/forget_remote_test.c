/* `journal forget --consumer` with a scripted consumer: the uploads are looked up in a copy of its journal. */
#include "scripted_consumer.h"

#include "pure/digest.h"
#include "system/clock.h"
#include <signal.h>

#define FORGET(...) SCRIPTED_RUN("journal", "forget", __VA_ARGS__, "--consumer", scripted_address)
#define ID_1 "01000000000000000000000000000000"
#define ID_2 "02000000000000000000000000000000"
#define ID_3 "03000000000000000000000000000000"

static void add_put(uint8_t id, const char *dest) {
    struct record r = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    r.upload.b[0] = id;
    r.src = slice_of("/data/x");
    r.dest = slice_of(dest);
    r.file.size = 5;
    lines_add(&test_journal, &r);
    scripted.seq = test_journal.seq;
}

static void add_begin(uint8_t id, const char *dest, const char *endpoint) {
    struct record r = {.ev = EV_BEGIN, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_GEOMETRY | HAS_HANDLE};
    r.upload.b[0] = id;
    r.src = slice_of("/data/x");
    r.dest = slice_of(dest);
    r.endpoint = slice_of(endpoint);
    r.file.size = 65536;
    r.chunk_size = 65536;
    r.chunks = 1;
    r.handle = slice_of("h");
    lines_add(&test_journal, &r);
    scripted.seq = test_journal.seq;
}

static void add_event(enum record_ev ev, uint8_t id) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD, .reason = slice_of("superseded")};
    r.upload.b[0] = id;
    lines_add(&test_journal, &r);
    scripted.seq = test_journal.seq;
}

/* True: the last FORGET named exactly these uploads, in this order. */
static bool asked_for(const char *ids) {
    if (scripted.forget_ids_len != strlen(ids) * 16)
        return false;
    for (size_t i = 0; ids[i]; i++)
        if (scripted.forget_ids[16 * i] != ids[i] - '0')
            return false;
    return true;
}

static void test_uploads_are_named_by_id_or_destination(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    add_put(2, "s3://bkt/two");
    add_put(3, "s3://bkt/three");
    assert_int_equal(FORGET(ID_3, "s3://bkt/one"), 0);
    assert_true(asked_for("13"));
    assert_false(scripted.forget_unfinished);
    assert_string_equal(command_out, "forgotten: " ID_1 "  s3://bkt/one\nforgotten: " ID_3 "  s3://bkt/three\n");
    assert_string_equal(command_err, "");
}

static void test_forgotten_uploads_for_programs(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    assert_int_equal(FORGET("s3://bkt/one", "--json"), 0);
    assert_string_equal(command_out, "{\"event\":\"forgotten\",\"upload\":\"" ID_1 "\",\"dest\":\"s3://bkt/one\"}\n");
}

static void test_destination_names_all_its_uploads(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    add_put(2, "s3://bkt/one");
    add_event(EV_ABORT, 3); /* unknown: no other record */
    assert_int_equal(FORGET("s3://bkt/one"), 0);
    assert_true(asked_for("12"));
}

static void test_id_and_destination_of_one_upload_are_both_met(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    assert_int_equal(FORGET("s3://bkt/one", ID_1), 0);
    assert_true(asked_for("1"));
}

static void test_only_what_the_consumer_forgot_is_printed(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    scripted.forgets_none = true;
    assert_int_equal(FORGET("s3://bkt/one"), 0);
    assert_string_equal(command_out, "");
}

static void test_upload_that_is_unknown_is_an_error(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    assert_int_equal(FORGET("s3://bkt/one", "s3://bkt/two"), 1);
    assert_non_null(strstr(command_err, "s3://bkt/two: the journal knows no such upload"));
    assert_int_equal(scripted.forgets, 0);
}

static void test_upload_that_was_forgotten_is_unknown(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    add_put(2, "s3://bkt/two");
    add_event(EV_FORGET, 1);
    assert_int_equal(FORGET("s3://bkt/one", "s3://bkt/two"), 1);
    assert_int_equal(scripted.forgets, 0);
    assert_int_equal(FORGET("s3://bkt/two"), 0);
    assert_true(asked_for("2"));
}

static void add_removal(enum record_ev ev, uint8_t id, const char *dest) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD | HAS_DEST, .dest = slice_of(dest)};
    r.upload.b[0] = id;
    lines_add(&test_journal, &r);
    scripted.seq = test_journal.seq;
}

static void test_upload_whose_object_was_removed_is_unknown(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    add_put(2, "s3://bkt/two");
    add_removal(EV_DELETING, 1, "s3://bkt/one");
    add_removal(EV_DELETING, 2, "s3://bkt/two");
    add_removal(EV_DELETE, 1, "s3://bkt/one");
    assert_int_equal(FORGET("s3://bkt/one", "s3://bkt/two"), 1);
    assert_non_null(strstr(command_err, "s3://bkt/one: the journal knows no such upload"));
    assert_int_equal(FORGET("s3://bkt/two"), 0); /* its removal was interrupted */
    assert_true(asked_for("2"));
    add_put(3, "s3://bkt/one");
    assert_int_equal(FORGET("s3://bkt/one"), 0);
    assert_true(asked_for("3"));
}

static void test_other_uploads_of_a_destination_are_forgotten_once(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    add_put(2, "s3://bkt/one");
    add_event(EV_FORGET, 1);
    assert_int_equal(FORGET("s3://bkt/one"), 0);
    assert_true(asked_for("2"));
    assert_string_equal(command_out, "forgotten: " ID_2 "  s3://bkt/one\n");
}

static void test_upload_that_was_aborted_is_unknown(void **state) {
    (void)state;
    add_begin(1, "s3://bkt/one", "");
    add_event(EV_ABORT, 1);
    assert_int_equal(FORGET(ID_1), 1);
}

static void test_consumer_that_cannot_forget(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    scripted.forget_error = "its upload is not finished";
    assert_int_equal(FORGET(ID_1), 1);
    assert_non_null(strstr(command_err, "its upload is not finished; nothing was forgotten"));
    assert_string_equal(command_out, "");
}

static void test_unfinished_uploads_keep_their_parts(void **state) {
    (void)state;
    add_begin(1, "s3://bkt/one", "");
    add_put(2, "s3://bkt/two");
    assert_int_equal(FORGET(ID_1, ID_2, "--unfinished", "--keep-parts"), 0);
    assert_true(asked_for("21"));
    assert_true(scripted.forget_unfinished);
}

static void test_finished_uploads_with_unfinished_are_only_forgotten(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    assert_int_equal(FORGET(ID_1, "--unfinished"), 0);
    assert_true(asked_for("1"));
    assert_true(scripted.forget_unfinished);
}

static void test_unfinished_uploads_of_two_stores_are_refused(void **state) {
    (void)state;
    add_begin(1, "s3://bucket/one", "");
    add_begin(2, "s3://other/two", "");
    add_begin(3, "s3://bucket/three", "https://store.example");
    add_begin(4, "file:///three", "");
    assert_int_equal(FORGET("s3://bucket/one", "s3://other/two", "--unfinished"), 2);
    assert_non_null(strstr(command_err, "s3://bucket/one and s3://other/two are at different stores"));
    assert_int_equal(FORGET("s3://bucket/one", "s3://bucket/three", "--unfinished"), 2);
    assert_non_null(strstr(command_err, "are at different stores"));
    assert_int_equal(FORGET("s3://bucket/one", "file:///three", "--unfinished"), 2);
    assert_non_null(strstr(command_err, "are at different stores"));
    assert_int_equal(scripted.forgets, 0);
}

/* The consumer's limit of one request. */
static void test_too_many_uploads_at_once(void **state) {
    (void)state;
    for (unsigned i = 0; i <= PROTO_FORGET_MAX; i++) {
        struct record r = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
        r.upload.b[0] = 1;
        r.upload.b[1] = (uint8_t)(i >> 8);
        r.upload.b[2] = (uint8_t)i;
        r.src = slice_of("/data/x");
        r.dest = slice_of("s3://bkt/same");
        lines_add(&test_journal, &r);
    }
    scripted.seq = test_journal.seq;
    assert_int_equal(FORGET("s3://bkt/same"), 2);
    assert_non_null(strstr(command_err, "257 uploads are too many at once; name at most 256"));
}

static void test_name_is_required(void **state) {
    (void)state;
    scripted.seq = test_journal.seq;
    assert_int_equal(SCRIPTED_RUN("journal", "forget", "--consumer", scripted_address), 2);
    assert_non_null(strstr(command_err, "UPLOAD or DEST is missing"));
    assert_int_equal(FORGET("ftp://host/x"), 2);
    assert_non_null(strstr(command_err, "ftp://host/x: "));
}

static void test_help_describes_forget(void **state) {
    (void)state;
    assert_int_equal(SCRIPTED_RUN("journal", "forget", "--help"), 0);
    assert_non_null(strstr(command_out, "--keep-parts"));
}

static void test_interrupted_look_up(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    scripted.lost = 1000;
    pid_t pid = SCRIPTED_START("journal", "forget", ID_1, "--consumer", scripted_address);
    scripted_bind();
    for (uint64_t end_ms = clock_ms() + 10000; scripted.requests == 0; scripted_serve(5))
        assert_true(clock_ms() < end_ms);
    kill(pid, SIGINT);
    assert_int_equal(scripted_until_end(pid), 130);
    assert_int_equal(scripted.forgets, 0);
}

static void test_only_uploads_of_that_destination_are_named(void **state) {
    (void)state;
    add_put(1, "s3://bkt/one");
    add_put(2, "s3://bkt/one/below");
    add_put(3, "s3://bkt/on");
    assert_int_equal(FORGET("s3://bkt/one"), 0);
    assert_true(asked_for("1"));
}

/* The consumer refuses those that run. */
static void test_unfinished_upload_is_asked_for_by_its_id(void **state) {
    (void)state;
    add_begin(1, "s3://bkt/one", "");
    assert_int_equal(FORGET(ID_1), 0);
    assert_true(asked_for("1"));
    assert_false(scripted.forget_unfinished);
}

static void test_256_uploads_are_not_too_many(void **state) {
    (void)state;
    for (unsigned i = 0; i < PROTO_FORGET_MAX; i++) {
        struct record r = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
        r.upload.b[0] = 1;
        r.upload.b[2] = (uint8_t)i;
        r.src = slice_of("/data/x");
        r.dest = slice_of("s3://bkt/same");
        lines_add(&test_journal, &r);
    }
    scripted.seq = test_journal.seq;
    assert_int_equal(FORGET("s3://bkt/same"), 0);
    assert_int_equal(scripted.forgets, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scripted_setup, scripted_teardown)
UNIT_MAIN(TEST(test_uploads_are_named_by_id_or_destination), TEST(test_forgotten_uploads_for_programs),
          TEST(test_destination_names_all_its_uploads), TEST(test_id_and_destination_of_one_upload_are_both_met),
          TEST(test_only_what_the_consumer_forgot_is_printed), TEST(test_upload_that_is_unknown_is_an_error),
          TEST(test_upload_that_was_forgotten_is_unknown), TEST(test_other_uploads_of_a_destination_are_forgotten_once),
          TEST(test_upload_that_was_aborted_is_unknown), TEST(test_upload_whose_object_was_removed_is_unknown),
          TEST(test_consumer_that_cannot_forget), TEST(test_unfinished_uploads_keep_their_parts),
          TEST(test_finished_uploads_with_unfinished_are_only_forgotten),
          TEST(test_unfinished_uploads_of_two_stores_are_refused), TEST(test_too_many_uploads_at_once),
          TEST(test_name_is_required), TEST(test_help_describes_forget), TEST(test_interrupted_look_up),
          TEST(test_only_uploads_of_that_destination_are_named), TEST(test_unfinished_upload_is_asked_for_by_its_id),
          TEST(test_256_uploads_are_not_too_many))
