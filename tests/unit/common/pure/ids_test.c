#include "edge.h"
#include "pure/ids.h"
#include "unit.h"

static void test_ids_hex_and_back(void **state) {
    (void)state;
    struct id128 id, back;
    char hex[ID_HEX_SIZE];
    for (size_t i = 0; i < sizeof id.b; i++)
        id.b[i] = (uint8_t)(i * 17);
    id_to_hex(&id, hex);
    assert_string_equal(hex, "00112233445566778899aabbccddeeff");
    assert_int_equal(id_from_hex(&back, slice_of(hex)), 0);
    assert_true(id_equal(&id, &back));
    for (int i = 0; i < 256; i++) {
        char one[3];
        uint8_t byte = (uint8_t)i, again = 0;
        hex_encode(&byte, 1, one);
        assert_int_equal(hex_decode(slice_of(one), &again, 1), 0);
        assert_int_equal(again, i);
    }
}

static void test_ids_random_ones_differ(void **state) {
    (void)state;
    struct id128 ids[64], zero = {{0}};
    assert_true(id_is_zero(&zero));
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(id_random(&ids[i]), 0);
        assert_false(id_is_zero(&ids[i]));
        for (size_t k = 0; k < i; k++)
            assert_false(id_equal(&ids[i], &ids[k]));
    }
}

static void test_ids_refuse_all_but_32_lower_case_digits(void **state) {
    (void)state;
    const char good[] = "00112233445566778899aabbccddeeff";
    struct id128 id;
    assert_int_equal(id_from_hex(&id, edge_text("")), ERR_INVALID);
    assert_int_equal(id_from_hex(&id, edge_text(good)), 0);
    assert_int_equal(hex_decode(slice_of(""), &id, SIZE_MAX / 2 + 1), ERR_INVALID);
    assert_int_equal(hex_decode(slice_make(good, 30), &id, 16), ERR_INVALID);
    assert_int_equal(id_from_hex(&id, slice_make(good, 31)), ERR_INVALID);
    assert_int_equal(id_from_hex(&id, slice_make(good, 33)), ERR_INVALID);
    for (size_t at = 0; at < ID_HEX_LEN; at++)
        for (int c = 0; c < 256; c++) {
            char text[ID_HEX_SIZE];
            memcpy(text, good, sizeof text);
            text[at] = (char)c;
            bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            assert_int_equal(id_from_hex(&id, slice_make(text, ID_HEX_LEN)), digit ? 0 : ERR_INVALID);
        }
}

UNIT_MAIN(cmocka_unit_test(test_ids_hex_and_back), cmocka_unit_test(test_ids_random_ones_differ),
          cmocka_unit_test(test_ids_refuse_all_but_32_lower_case_digits))
