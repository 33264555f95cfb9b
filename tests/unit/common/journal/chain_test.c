/* The chain of h over the lines of a journal. */
#include "record_lines.h"

/* Five lines of one chain, in one buffer with newlines. */
static struct buf five_lines(void) {
    struct buf out = BUF_INIT;
    struct chain c;
    assert_int_equal(chain_init(&c), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct record r;
        sample_record(EV_OPEN - 1 + i, &r);
        r.seq = i + 1;
        assert_int_equal(record_encode(&r, &c, &out), 0);
    }
    chain_release(&c);
    return out;
}

/* The number of lines that the chain accepts, in the given order. */
static unsigned accepted(const struct buf *lines, const char *order) {
    struct chain c;
    unsigned count = 0;
    assert_int_equal(chain_init(&c), 0);
    for (; *order; order++, count++) {
        const char *at = lines->data;
        for (int skip = *order - '1'; skip > 0; skip--)
            at = strchr(at, '\n') + 1;
        char before[ID_HEX_SIZE];
        memcpy(before, c.h, sizeof before);
        if (chain_verify(&c, slice_make(at, strcspn(at, "\n")))) {
            assert_string_equal(c.h, before); /* a refused line does not move the chain */
            break;
        }
    }
    chain_release(&c);
    return count;
}

static void test_chain_catches_edited_removed_reordered_lines(void **state) {
    (void)state;
    struct buf lines = five_lines();
    assert_int_equal(accepted(&lines, "12345"), 5);
    assert_int_equal(accepted(&lines, "2345"), 0);
    assert_int_equal(accepted(&lines, "1345"), 1);
    assert_int_equal(accepted(&lines, "13245"), 1);
    assert_int_equal(accepted(&lines, "12335"), 3);
    assert_int_equal(accepted(&lines, "1223"), 2);
    char *digit = strstr(lines.data, "\"length\":8388608");
    assert_non_null(digit);
    digit[9] = '9';
    assert_int_equal(accepted(&lines, "12345"), 2); /* line 3 is the chunk */
    digit[9] = '8';
    assert_int_equal(accepted(&lines, "12345"), 5);
    buf_release(&lines);
}

/* A line that was edited and has a new h of its own breaks the chain at the next line. */
static void test_chain_catches_an_edit_with_a_new_h(void **state) {
    (void)state;
    struct buf lines = five_lines(), forged = BUF_INIT;
    struct chain c;
    struct record r;
    assert_int_equal(chain_init(&c), 0);
    sample_record(EV_OPEN - 1, &r);
    r.seq = 1;
    r.file.size++;
    assert_int_equal(record_encode(&r, &c, &forged), 0);
    assert_int_equal(buf_add_text(&forged, strchr(lines.data, '\n') + 1), 0);
    assert_int_equal(accepted(&forged, "12345"), 1);
    chain_release(&c);
    buf_release(&lines);
    buf_release(&forged);
}

UNIT_MAIN(cmocka_unit_test(test_chain_catches_edited_removed_reordered_lines),
          cmocka_unit_test(test_chain_catches_an_edit_with_a_new_h))
