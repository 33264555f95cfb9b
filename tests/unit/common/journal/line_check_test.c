/* The rules for a valid line, one by one. The verifier's tests show the same over whole journals. */
#include "edge.h"
#include "journal/line_check.h"
#include "unit.h"

static struct line_check check;
static struct chain chain; /* of the written lines */
static struct record record;

static int setup(void **state) {
    (void)state;
    return line_check_init(&check) || chain_init(&chain);
}

static int teardown(void **state) {
    (void)state;
    line_check_release(&check);
    chain_release(&chain);
    return 0;
}

static struct slice line_of(struct record r) {
    static struct buf out;
    buf_clear(&out);
    assert_int_equal(record_encode(&r, &chain, &out), 0);
    return edge_slice(slice_make(out.data, out.len - 1));
}

static int check_next(struct record r, bool is_first) {
    return line_check_next(&check, line_of(r), (struct line_place){.is_first = is_first}, &record);
}

static int check_stop(uint64_t seq, uint64_t batch) {
    return check_next((struct record){.ev = EV_STOP, .seq = seq, .batch = batch}, false);
}

static int check_epoch(uint64_t seq, uint64_t epoch, uint8_t journal) {
    struct record r = {.ev = EV_EPOCH, .seq = seq, .batch = 1, .epoch = epoch, .version = JOURNAL_VERSION};
    r.journal.b[0] = journal;
    return check_next(r, seq == 1);
}

/* The segment line of a file that follows removed ones. */
static int check_segment(uint64_t seq, uint64_t batch) {
    static char prev[ID_HEX_SIZE];
    memset(chain.h, '7', ID_HEX_LEN);
    memcpy(prev, chain.h, sizeof prev);
    return check_next((struct record){.ev = EV_SEGMENT, .seq = seq, .batch = batch, .prev = slice_of(prev)}, true);
}

static void test_lines_in_order_are_valid(void **state) {
    (void)state;
    assert_int_equal(check_epoch(1, 1, 9), 0);
    assert_int_equal(record.ev, EV_EPOCH);
    assert_int_equal(check_stop(2, 1), 0);
    assert_int_equal(check_stop(3, 2), 0);
    assert_int_equal(check_epoch(4, 2, 9), ERR_DAMAGED); /* batch 1 after 2 */
    assert_string_equal(check.reason, "batch 1 after 2");
    assert_int_equal(check.seq, 3);
}

static void test_a_batch_is_the_same_or_the_next(void **state) {
    (void)state;
    assert_int_equal(check_next((struct record){.ev = EV_STOP, .seq = 1, .batch = 1}, true), 0);
    assert_int_equal(check_stop(2, 3), ERR_DAMAGED);
    assert_string_equal(check.reason, "batch 3 after 1");
}

static void test_a_journal_begins_with_batch_0_or_1(void **state) {
    (void)state;
    assert_int_equal(check_next((struct record){.ev = EV_STOP, .seq = 1, .batch = 2}, true), ERR_DAMAGED);
    chain.h[0] = '0';
    line_check_reset(&check);
    memset(chain.h, '0', ID_HEX_LEN);
    assert_int_equal(check_next((struct record){.ev = EV_STOP, .seq = 1, .batch = 0}, true), 0);
}

static void test_a_segment_line_gives_the_position_when_files_were_removed(void **state) {
    (void)state;
    assert_int_equal(check_segment(500, 40), 0);
    assert_int_equal(check_stop(501, 41), 0);
    assert_int_equal(check_stop(503, 41), ERR_DAMAGED);
    assert_string_equal(check.reason, "seq 503 after 501");
}

static void test_a_segment_line_may_have_batch_0(void **state) {
    (void)state;
    assert_int_equal(check_segment(2, 0), 0);
    assert_int_equal(check_stop(3, 1), 0);
}

static void test_a_segment_line_is_not_the_first_of_a_journal(void **state) {
    (void)state;
    assert_int_equal(check_segment(1, 1), ERR_DAMAGED);
    assert_string_equal(check.reason, "a segment line cannot be the first of a journal");
}

static void test_a_segment_line_at_its_seq_follows_only_with_the_h_before(void **state) {
    (void)state;
    assert_int_equal(check_epoch(1, 1, 9), 0);
    assert_int_equal(check_segment(3, 1), ERR_DAMAGED);
    assert_string_equal(check.reason, "seq 3 after 1: a file between them is missing");
    assert_int_equal(check_segment(2, 1), ERR_DAMAGED);
    assert_string_equal(check.reason, "it does not follow the file before it: prev is not that file's last h");
}

static void test_the_first_seq_of_a_sealed_file_is_in_its_name(void **state) {
    (void)state;
    struct record r = {.ev = EV_STOP, .seq = 1, .batch = 1};
    assert_int_equal(line_check_next(&check, line_of(r), (struct line_place){2, true}, &record), ERR_DAMAGED);
    assert_string_equal(check.reason, "its first seq is 1, its name says 2");
    memset(chain.h, '0', ID_HEX_LEN);
    assert_int_equal(line_check_next(&check, line_of(r), (struct line_place){1, true}, &record), 0);
}

static void test_counters_have_a_limit(void **state) {
    (void)state;
    assert_int_equal(check_segment(LINE_COUNTER_MAX, LINE_COUNTER_MAX), 0);
    assert_int_equal(check_stop(LINE_COUNTER_MAX + 1, LINE_COUNTER_MAX), ERR_DAMAGED);
    assert_string_equal(check.reason, "a counter that no journal reaches");
    line_check_reset(&check);
    assert_int_equal(check_segment(5, LINE_COUNTER_MAX + 1), ERR_DAMAGED);
    assert_string_equal(check.reason, "a counter that no journal reaches");
    line_check_reset(&check);
    memset(chain.h, '0', ID_HEX_LEN);
    assert_int_equal(check_epoch(1, LINE_COUNTER_MAX + 1, 9), ERR_DAMAGED);
    memset(chain.h, '0', ID_HEX_LEN);
    assert_int_equal(check_epoch(1, LINE_COUNTER_MAX, 9), 0);
}

static void test_epochs_name_one_journal(void **state) {
    (void)state;
    assert_int_equal(check_epoch(1, 1, 9), 0);
    assert_int_equal(check_epoch(2, 2, 8), ERR_DAMAGED);
    assert_string_equal(check.reason, "a line of another journal");
    line_check_reset(&check);
    memset(chain.h, '0', ID_HEX_LEN);
    assert_int_equal(check_epoch(1, 1, 8), 0); /* forgotten with the position */
}

/* "ERR_VERSION: h is right, but the line is of a later version"; "the position is unchanged". */
static void test_a_line_of_a_later_version_is_told_from_damage(void **state) {
    (void)state;
    struct buf text = BUF_INIT;
    char h[ID_HEX_SIZE];
    assert_int_equal(
        buf_add_text(&text, "{\"seq\":1,\"batch\":1,\"ts\":\"2026-11-21T08:40:00.000000Z\",\"ev\":\"new\""), 0);
    assert_int_equal(chain_next(&chain, buf_slice(&text), h), 0);
    assert_int_equal(buf_addf(&text, ",\"h\":\"%s\"}", h), 0);
    struct line_place place = {.is_first = true};
    assert_int_equal(line_check_next(&check, buf_slice(&text), place, &record), ERR_VERSION);
    text.data[text.len - 3] = text.data[text.len - 3] == '0' ? '1' : '0';
    assert_int_equal(line_check_next(&check, buf_slice(&text), place, &record), ERR_DAMAGED);
    assert_string_equal(check.reason, "an event this version of chunklift does not know");
    assert_int_equal(line_check_next(&check, slice_of("text"), place, &record), ERR_DAMAGED);
    assert_string_equal(check.reason, "not a journal line");
    assert_int_equal(check_epoch(1, 1, 9), 0);
    buf_release(&text);
}

static void test_the_seq_of_a_line_is_in_its_first_bytes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t seq; /* 0: none */
    } cases[] = {
        {"{\"seq\":7,", 7},
        {"{\"seq\":1,\"batch\"", 1},
        {"{\"seq\":18446744073709551615,", UINT64_MAX},
        {"{\"seq\":18446744073709551616,", 0},
        {"{\"seq\":0,", 0},
        {"{\"seq\":9", 0},
        {"{\"seq\":9}", 0},
        {"{\"seq\":", 0},
        {"{\"seq\"", 0},
        {"{\"seq\":,", 0},
        {"{\"seq\":/,", 0},
        {"{\"seq\"::,", 0},
        {"{\"sea\":7,", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t seq;
        if (line_seq(edge_text(cases[i].text), &seq) != (cases[i].seq != 0))
            fail_msg("%s", cases[i].text);
        if (cases[i].seq)
            assert_true(seq == cases[i].seq);
    }
}

static void test_a_tail_has_exactly_its_form(void **state) {
    (void)state;
    static const char tail[] = ",\"h\":\"00112233445566778899aabbccddeeff\"}";
    const char *h;
    assert_true(chain_split_tail(edge_text(tail), &h));
    assert_int_equal(strncmp(h, "0011", 4), 0);
    assert_false(chain_split_tail(edge_text(tail + 1), &h));
    assert_false(chain_split_tail(edge_text(",\"g\":\"00112233445566778899aabbccddeeff\"}"), &h));
    assert_false(chain_split_tail(edge_text(",\"h\":\"00112233445566778899aabbccddeeff\")"), &h));
    assert_false(chain_split_tail(edge_text(",\"h\":\"00112233445566778899aabbccddeefg\"}"), &h));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
UNIT_MAIN(TEST(test_lines_in_order_are_valid), TEST(test_a_batch_is_the_same_or_the_next),
          TEST(test_a_journal_begins_with_batch_0_or_1),
          TEST(test_a_segment_line_gives_the_position_when_files_were_removed),
          TEST(test_a_segment_line_may_have_batch_0), TEST(test_a_segment_line_is_not_the_first_of_a_journal),
          TEST(test_a_segment_line_at_its_seq_follows_only_with_the_h_before),
          TEST(test_the_first_seq_of_a_sealed_file_is_in_its_name), TEST(test_counters_have_a_limit),
          TEST(test_epochs_name_one_journal), TEST(test_a_line_of_a_later_version_is_told_from_damage),
          TEST(test_the_seq_of_a_line_is_in_its_first_bytes), TEST(test_a_tail_has_exactly_its_form))
