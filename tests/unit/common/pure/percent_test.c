#include "edge.h"
#include "unit.h"

#include "pure/percent.h"

static const char *encoded(struct slice text, bool keep_slash) {
    static struct buf out;
    buf_clear(&out);
    assert_int_equal(percent_encode(&out, text, keep_slash), 0);
    assert_int_equal(buf_add_byte(&out, '\0'), 0);
    return out.data;
}

static void test_unreserved_bytes(void **state) {
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    (void)state;
    for (unsigned c = 1; c < 256; c++)
        assert_int_equal(percent_is_unreserved((unsigned char)c), strchr(unreserved, (int)c) != NULL);
    assert_string_equal(encoded(slice_of(unreserved), false), unreserved);
}

static void test_encode(void **state) {
    (void)state;
    assert_string_equal(encoded(slice_of("a b+c/d\xff"), false), "a%20b%2Bc%2Fd%FF");
    assert_string_equal(encoded(slice_of("a b+c/d"), true), "a%20b%2Bc/d");
    assert_string_equal(encoded(slice_make("\0\x0f\xa0", 3), false), "%00%0F%A0");
    assert_string_equal(encoded(slice_of(""), false), "");
}

static void test_decode(void **state) {
    static const struct {
        const char *text, *decoded; /* NULL: invalid */
    } cases[] = {
        {"", ""},
        {"abc", "abc"},
        {"a+b", "a b"},
        {"%41", "A"},
        {"%7e%7E", "~~"},
        {"%19%20", "\x19 "},
        {"%2B%2f", "+/"},
        {"x%09y", "x\ty"},
        {"%C3%A4", "\xc3\xa4"},
        {"%af%FA", "\xaf\xfa"},
        {"%90", "\x90"},
        {"%", NULL},
        {"%4", NULL},
        {"a%4", NULL},
        {"%4G", NULL},
        {"%G4", NULL},
        {"%/4", NULL},
        {"%:4", NULL},
        {"%`4", NULL},
        {"%g4", NULL},
        {"%@4", NULL},
        {"%4%41", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT;
        int err = percent_decode(&out, edge_text(cases[i].text));
        assert_int_equal(err, cases[i].decoded ? 0 : ERR_INVALID);
        if (cases[i].decoded) {
            assert_int_equal(out.len, strlen(cases[i].decoded));
            assert_int_equal(out.len && memcmp(out.data, cases[i].decoded, out.len) != 0, 0);
        }
        buf_release(&out);
    }
}

UNIT_MAIN(cmocka_unit_test(test_unreserved_bytes), cmocka_unit_test(test_encode), cmocka_unit_test(test_decode))
