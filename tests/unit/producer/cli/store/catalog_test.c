/* The objects that a journal says are at a destination: the newest record of each, in the order of the records. */
#include "journal_lines.h"

#include "capture.h"
#include "producer/cli/store/catalog.h"
#include "system/log.h"

#define CHUNK 65536u

static const char *dests[2];
static struct text_list only;
static struct catalog_options options;
static struct catalog *catalog;
static bool damaged;

static int set_up(void **state) {
    log_setup("test", LOG_ERROR, false);
    lines_setup(state);
    only = (struct text_list){.items = dests};
    options = (struct catalog_options){.dir = test_journal.dir, .dests = &only};
    return 0;
}

static int tear_down(void **state) {
    catalog_close(&catalog);
    assert_null(catalog);
    return lines_teardown(state);
}

/* ---- records ---- */

static struct record about(enum record_ev ev, uint8_t id, const char *dest, uint64_t size) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD | HAS_DEST, .upload = {{id}}};
    r.dest = slice_of(dest);
    r.file.size = size;
    r.file.mtime_ns = 1000 + id;
    return r;
}

static void put_at(uint8_t id, const char *dest, const char *endpoint) {
    struct record r = about(EV_PUT, id, dest, id * 10u);
    r.has |= HAS_SRC | HAS_CRC | HAS_WORKER | HAS_MS | HAS_ETAG;
    r.src = slice_of("/src");
    r.worker = slice_of("h/1");
    r.endpoint = slice_of(endpoint);
    r.etag = slice_of("tag");
    r.crc = id;
    lines_add(&test_journal, &r);
}

static void put(uint8_t id, const char *dest) {
    put_at(id, dest, "http://e");
}

static void forget(uint8_t id) {
    struct record r = {.ev = EV_FORGET, .has = HAS_UPLOAD, .upload = {{id}}};
    lines_add(&test_journal, &r);
}

static void carry(uint8_t id, const char *dest, int64_t since_us) {
    struct record r = about(EV_CARRY, id, dest, 1);
    r.has |= HAS_SRC | HAS_CRC | HAS_SINCE;
    r.src = slice_of("/src");
    r.endpoint = slice_of("http://e");
    r.kind = slice_of(CARRY_FINISHED);
    r.since_ns = since_us * 1000;
    lines_add(&test_journal, &r);
}

/* An upload in two chunks. */
static void upload(uint8_t id, const char *dest, const char *endpoint) {
    struct record begin = about(EV_BEGIN, id, dest, 2 * CHUNK);
    begin.has |= HAS_SRC | HAS_GEOMETRY | HAS_HANDLE;
    begin.src = slice_of("/src");
    begin.endpoint = slice_of(endpoint);
    begin.chunk_size = CHUNK;
    begin.chunks = 2;
    begin.handle = slice_of("h");
    lines_add(&test_journal, &begin);
    for (uint32_t i = 0; i < 2; i++) {
        struct record chunk = {.ev = EV_CHUNK, .has = HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_WORKER | HAS_MS};
        chunk.upload.b[0] = id;
        chunk.chunk = i;
        chunk.offset = (uint64_t)i * CHUNK;
        chunk.length = CHUNK;
        chunk.crc = 70 + i;
        chunk.worker = slice_of("h/1");
        lines_add(&test_journal, &chunk);
    }
    struct record finish = about(EV_FINISH, id, dest, 2 * CHUNK);
    finish.has |= HAS_CRC | HAS_MS;
    finish.crc = 9;
    lines_add(&test_journal, &finish);
}

/* ---- the catalog ---- */

static void open_it(void) {
    catalog_close(&catalog);
    assert_int_equal(catalog_open(&catalog, &options, &damaged), 0);
}

/* The next object must be that of this upload. */
static struct catalog_object next(uint8_t id) {
    struct catalog_object o;
    assert_int_equal(catalog_next(catalog, &o), 0);
    assert_int_equal(o.upload.b[0], id);
    return o;
}

static void assert_end(void) {
    struct catalog_object o;
    assert_int_equal(catalog_next(catalog, &o), ERR_NOT_FOUND);
}

static void rewind_to(size_t store, uint64_t after) {
    assert_int_equal(catalog_rewind(catalog, store, after), 0);
}

static void test_an_empty_journal_has_no_objects(void **state) {
    (void)state;
    open_it();
    assert_int_equal(catalog_store_count(catalog), 0);
    assert_false(damaged);
}

static void test_the_newest_record_of_a_destination_counts(void **state) {
    (void)state;
    put(1, "s3://bkt/a");
    put(2, "s3://bkt/x");
    put(3, "s3://bkt/a");
    open_it();
    assert_int_equal(catalog_store_count(catalog), 1);
    assert_int_equal(catalog_store(catalog, 0)->objects, 2);
    assert_string_equal(catalog_store(catalog, 0)->endpoint, "http://e");
    rewind_to(0, 0);
    struct catalog_object o = next(2);
    assert_true(slice_equal(o.dest, slice_of("s3://bkt/x")) && slice_equal(o.etag, slice_of("tag")));
    assert_true(o.size == 20 && o.crc == 2 && o.geometry.chunks == 0 && !o.crcs);
    next(3);
    assert_end();
}

static void test_a_position_continues_after_its_object(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    put(2, "s3://bkt/2");
    put(3, "s3://bkt/3");
    open_it();
    rewind_to(0, 0);
    uint64_t after = next(1).position;
    assert_true(next(2).position > after);
    rewind_to(0, after);
    next(2);
    next(3);
    assert_end();
}

static void test_a_forgotten_object_is_left_out_until_it_is_there_again(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    put(2, "s3://bkt/2");
    forget(1);
    forget(9); /* not known */
    open_it();
    rewind_to(0, 0);
    next(2);
    assert_end();
    put(3, "s3://bkt/1");
    open_it();
    assert_int_equal(catalog_store(catalog, 0)->objects, 2);
}

/* One producer asks one endpoint, and on S3 one bucket. */
static void test_each_endpoint_and_bucket_is_a_store(void **state) {
    (void)state;
    put_at(1, "s3://bkt/1", "http://e");
    put_at(2, "s3://other/2", "http://e");
    put_at(3, "s3://bkt/3", "http://f");
    put_at(4, "file:///x", "");
    put_at(5, "file:///y", "");
    open_it();
    assert_int_equal(catalog_store_count(catalog), 4);
    static const uint8_t ids[][2] = {{1, 0}, {2, 0}, {3, 0}, {4, 5}};
    for (size_t i = 0; i < 4; i++) {
        rewind_to(i, 0);
        for (size_t k = 0; k < 2 && ids[i][k]; k++)
            next(ids[i][k]);
        assert_end();
    }
}

static void test_an_endpoint_that_is_given_replaces_the_recorded_ones(void **state) {
    (void)state;
    put_at(1, "s3://bkt/1", "http://e");
    put_at(2, "s3://bkt/2", "http://f");
    put_at(3, "file:///x", "");
    options.endpoint = "http://new";
    open_it();
    assert_int_equal(catalog_store_count(catalog), 2);
    assert_string_equal(catalog_store(catalog, 0)->endpoint, "http://new");
    assert_int_equal(catalog_store(catalog, 0)->objects, 2);
    assert_string_equal(catalog_store(catalog, 1)->endpoint, "");
}

static void test_only_objects_under_the_given_destinations_are_wanted(void **state) {
    (void)state;
    put(1, "s3://bkt/a/1");
    put(2, "s3://bkt/ab");
    put(3, "s3://bkt/c");
    dests[0] = "s3://bkt/a/";
    dests[1] = "s3://bkt/c";
    only.count = 2;
    open_it();
    assert_int_equal(catalog_store(catalog, 0)->objects, 2);
    rewind_to(0, 0);
    next(1);
    next(3);
    assert_end();
}

/* The same bucket and key at another endpoint is another object. */
static void test_one_url_at_two_endpoints_is_two_objects(void **state) {
    (void)state;
    put_at(1, "s3://bkt/1", "http://e");
    put_at(2, "s3://bkt/1", "http://f");
    upload(3, "s3://bkt/2", "http://f");
    upload(4, "s3://bkt/2", "http://e");
    put_at(5, "s3://bkt/1", "http://f"); /* replaces 2 only */
    static const uint8_t ids[][2] = {{1, 4}, {3, 5}};
    for (int sources = 0; sources < 2; sources++) {
        options.sources = sources;
        open_it();
        assert_int_equal(catalog_store_count(catalog), 2);
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(catalog_store(catalog, i)->objects, 2);
            rewind_to(i, 0);
            next(ids[i][0]);
            next(ids[i][1]);
            assert_end();
        }
    }
}

/* The endpoint is in the record of its begin, the checksums in those of its chunks. */
static void test_an_upload_in_chunks_has_their_checksums(void **state) {
    (void)state;
    upload(1, "s3://bkt/1", "http://e");
    open_it();
    assert_string_equal(catalog_store(catalog, 0)->endpoint, "http://e");
    rewind_to(0, 0);
    assert_null(next(1).crcs); /* not wanted */
    options.chunks = true;
    open_it();
    rewind_to(0, 0);
    struct catalog_object o = next(1);
    assert_true(o.geometry.chunk_size == CHUNK && o.geometry.chunks == 2 && o.size == 2 * CHUNK && o.crc == 9);
    assert_true(o.crcs[0] == 70 && o.crcs[1] == 71);
    free(o.crcs);
    assert_end();
}

/* retire repeats the records of old files: an object that was replaced since keeps its newer record. */
static void test_a_carried_record_counts_by_its_own_time(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    carry(2, "s3://bkt/1", 1);
    carry(3, "s3://bkt/3", 1);
    open_it();
    assert_int_equal(catalog_store_count(catalog), 1);
    rewind_to(0, 0);
    next(1);
    next(3);
    assert_end();
}

static void test_an_object_that_is_carried_on_is_there_once(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    carry(1, "s3://bkt/1", INT64_C(1963700000000000));
    open_it();
    assert_int_equal(catalog_store(catalog, 0)->objects, 1);
    rewind_to(0, 0);
    assert_int_equal(next(1).position, test_journal.seq);
    assert_end();
}

static void test_records_of_dropped_files_do_not_count(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    put(2, "s3://bkt/2");
    struct record drop = {.ev = EV_DROP, .dropped_file = slice_of("f"), .from = 1, .to = test_journal.seq - 1};
    lines_add(&test_journal, &drop);
    open_it();
    rewind_to(0, 0);
    next(2);
    assert_end();
}

static void test_a_line_that_cannot_be_read_is_left_out_and_logged(void **state) {
    (void)state;
    struct capture said;
    put(1, "s3://bkt/1");
    fputs("{nonsense}\n", test_journal.file);
    put(2, "s3://bkt/2");
    capture_begin(&said, STDERR_FILENO);
    open_it();
    assert_non_null(strstr(capture_end(&said), "journal.jsonl:"));
    assert_true(damaged);
    assert_int_equal(catalog_store(catalog, 0)->objects, 2);
}

static void test_what_verify_recorded_is_no_object(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    struct record r = about(EV_VERIFIED, 1, "s3://bkt/1", 0);
    r.found = slice_of("same");
    r.how = slice_of("head");
    lines_add(&test_journal, &r);
    open_it();
    rewind_to(0, 0);
    next(1);
    assert_end();
}

/* ---- removals ---- */

static void removal(enum record_ev ev, uint8_t id, const char *dest) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD | HAS_DEST, .upload = {{id}}};
    r.dest = slice_of(dest);
    lines_add(&test_journal, &r);
}

static void assert_only(uint8_t id, bool interrupted) {
    options.interrupted = interrupted;
    open_it();
    rewind_to(0, 0);
    next(id);
    assert_end();
}

static void test_an_object_that_was_removed_is_left_out(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    put(2, "s3://bkt/2");
    removal(EV_DELETING, 1, "s3://bkt/1");
    removal(EV_DELETE, 1, "s3://bkt/1");
    assert_only(2, false);
    assert_only(2, true);
    put(3, "s3://bkt/1"); /* its file came back */
    open_it();
    assert_int_equal(catalog_store(catalog, 0)->objects, 2);
}

static void test_an_interrupted_removal_is_an_object_only_when_it_is_wanted(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    removal(EV_DELETING, 1, "s3://bkt/1");
    open_it();
    assert_int_equal(catalog_store(catalog, 0)->objects, 0);
    assert_only(1, true);
}

/* The object of a later upload is there, although the removal of the one before is recorded after it. */
static void test_a_removal_concerns_only_its_own_upload(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    removal(EV_DELETING, 1, "s3://bkt/1");
    put(2, "s3://bkt/1");
    removal(EV_DELETE, 1, "s3://bkt/1");
    assert_only(2, false);
}

static void test_a_removal_concerns_only_its_own_endpoint(void **state) {
    (void)state;
    put_at(1, "s3://bkt/1", "http://e");
    put_at(2, "s3://bkt/1", "http://f");
    removal(EV_DELETING, 1, "s3://bkt/1");
    open_it();
    assert_int_equal(catalog_store(catalog, 0)->objects, 0);
    assert_int_equal(catalog_store(catalog, 1)->objects, 1);
    assert_only(1, true); /* in the first store */
    removal(EV_DELETE, 1, "s3://bkt/1");
    open_it();
    assert_int_equal(catalog_store(catalog, 0)->objects, 0);
    rewind_to(1, 0);
    next(2);
    assert_end();
}

static void test_a_record_that_is_carried_on_does_not_undo_a_removal(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    removal(EV_DELETING, 1, "s3://bkt/1");
    removal(EV_DELETE, 1, "s3://bkt/1");
    carry(1, "s3://bkt/1", INT64_C(1963700000000000));
    options.interrupted = true;
    open_it();
    for (size_t i = 0; i < catalog_store_count(catalog); i++)
        assert_int_equal(catalog_store(catalog, i)->objects, 0);
}

/* ---- sources ---- */

static void test_an_object_has_the_source_of_its_upload(void **state) {
    (void)state;
    put(1, "s3://bkt/1");
    upload(2, "s3://bkt/2", "http://e");
    options.sources = true;
    open_it();
    rewind_to(0, 0);
    for (uint8_t id = 1; id <= 2; id++) {
        struct catalog_object o = next(id);
        assert_true(slice_equal(o.src, slice_of("/src")) && o.source.len == 0 && !o.crcs);
        assert_true(o.mtime_ns == 1000 + id);
        assert_true(o.since_us >= 1763700000000000);
    }
    options.sources = false;
    rewind_to(0, 0);
    assert_int_equal(next(1).src.len, 0);
}

static void test_a_journal_that_is_missing_is_an_error(void **state) {
    (void)state;
    struct capture said;
    options.dir = "absent";
    capture_begin(&said, STDERR_FILENO);
    int err = catalog_open(&catalog, &options, &damaged);
    assert_non_null(strstr(capture_end(&said), "absent: "));
    assert_int_equal(err, ERR_NOT_FOUND);
}

#define CATALOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(
    CATALOG_TEST(test_an_empty_journal_has_no_objects), CATALOG_TEST(test_the_newest_record_of_a_destination_counts),
    CATALOG_TEST(test_a_position_continues_after_its_object),
    CATALOG_TEST(test_a_forgotten_object_is_left_out_until_it_is_there_again),
    CATALOG_TEST(test_each_endpoint_and_bucket_is_a_store), CATALOG_TEST(test_one_url_at_two_endpoints_is_two_objects),
    CATALOG_TEST(test_an_endpoint_that_is_given_replaces_the_recorded_ones),
    CATALOG_TEST(test_only_objects_under_the_given_destinations_are_wanted),
    CATALOG_TEST(test_an_upload_in_chunks_has_their_checksums),
    CATALOG_TEST(test_a_carried_record_counts_by_its_own_time),
    CATALOG_TEST(test_an_object_that_is_carried_on_is_there_once),
    CATALOG_TEST(test_records_of_dropped_files_do_not_count),
    CATALOG_TEST(test_a_line_that_cannot_be_read_is_left_out_and_logged),
    CATALOG_TEST(test_what_verify_recorded_is_no_object), CATALOG_TEST(test_an_object_that_was_removed_is_left_out),
    CATALOG_TEST(test_an_interrupted_removal_is_an_object_only_when_it_is_wanted),
    CATALOG_TEST(test_a_removal_concerns_only_its_own_upload),
    CATALOG_TEST(test_a_removal_concerns_only_its_own_endpoint),
    CATALOG_TEST(test_a_record_that_is_carried_on_does_not_undo_a_removal),
    CATALOG_TEST(test_an_object_has_the_source_of_its_upload), CATALOG_TEST(test_a_journal_that_is_missing_is_an_error))
