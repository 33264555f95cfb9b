#include "edge.h"
#include "pure/digest.h"
#include "pure/ids.h"
#include "pure/text.h"
#include "unit.h"
#include <stdlib.h>
#include <sys/mman.h>

/* A small generator of our own, so that every run has the same numbers. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The definition, a bit at a time (RFC 3720, B.4). */
static uint32_t slow_crc32c(const uint8_t *bytes, size_t len) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

/* RFC 3720, B.4: 32 bytes of zeros, of ones, rising, falling. The RFC prints the bytes of the crc in wire order. */
static void test_crc32c_rfc3720_vectors(void **state) {
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c_add(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c_add(0, bytes, sizeof bytes), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c_add(0, bytes, sizeof bytes), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c_add(0, bytes, sizeof bytes), 0x113fdb5c);
    static const uint8_t iscsi_read[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                           0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                           0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
    assert_int_equal(crc32c_add(0, iscsi_read, sizeof iscsi_read), 0xd9963a56);
    assert_int_equal(crc32c_add(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_add(0, "", 0), 0);
}

static void test_crc32c_every_length_and_alignment(void **state) {
    (void)state;
    uint64_t seed = 88172645463325252u;
    uint8_t bytes[1400];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)next_random(&seed);
    for (size_t len = 0; len <= 1300; len++)
        assert_int_equal(crc32c_add(0, bytes + len % 67, len), slow_crc32c(bytes + len % 67, len));
}

/* ISA-L takes lengths of 31 bits. */
static void test_crc32c_of_more_than_two_gib(void **state) {
    (void)state;
    size_t len = ((size_t)2 << 30) + 5;
    const uint8_t *zeros = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(zeros != MAP_FAILED);
    uint32_t mib = crc32c_add(0, zeros, 1 << 20), expected = 0;
    for (int i = 0; i < 2048; i++)
        expected = crc32c_combine(expected, mib, 1 << 20);
    assert_int_equal(crc32c_add(0, zeros, len), crc32c_combine(expected, crc32c_add(0, zeros, 5), 5));
    assert_int_equal(munmap((void *)zeros, len), 0);
}

static void test_crc32c_incremental(void **state) {
    (void)state;
    uint64_t seed = 12345;
    uint8_t bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)next_random(&seed);
    uint32_t whole = crc32c_add(0, bytes, sizeof bytes);
    for (int round = 0; round < 200; round++) {
        uint32_t crc = 0;
        for (size_t at = 0; at < sizeof bytes;) {
            size_t piece = next_random(&seed) % 700;
            if (piece > sizeof bytes - at)
                piece = sizeof bytes - at;
            crc = crc32c_add(crc, bytes + at, piece);
            at += piece;
        }
        assert_int_equal(crc, whole);
    }
}

static void test_crc32c_combine_equals_direct(void **state) {
    (void)state;
    uint64_t seed = 4711;
    static uint8_t bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)next_random(&seed);
    for (int round = 0; round < 500; round++) {
        size_t len = next_random(&seed) % (sizeof bytes + 1), split = len ? next_random(&seed) % (len + 1) : 0;
        if (round % 5 == 0)
            split = round % 10 ? 0 : len;
        uint32_t a = crc32c_add(0, bytes, split), b = crc32c_add(0, bytes + split, len - split);
        assert_int_equal(crc32c_combine(a, b, len - split), crc32c_add(0, bytes, len));
    }
    assert_int_equal(crc32c_combine(0, 0, 0), 0);
    assert_int_equal(crc32c_combine(0x12345678, 0, 0), 0x12345678);
    assert_int_equal(crc32c_combine(0, 0x12345678, 77), 0x12345678);
}

/* Too long to compute directly: a run of 2^k zeros is two of 2^(k-1), and combining is associative. */
static void test_crc32c_combine_long_lengths(void **state) {
    (void)state;
    uint64_t seed = 99;
    uint32_t zeros = crc32c_add(0, "", 1); /* one zero byte */
    for (unsigned k = 0; k < 63; k++) {
        uint32_t twice = crc32c_combine(zeros, zeros, (uint64_t)1 << k);
        uint32_t a = (uint32_t)next_random(&seed);
        uint32_t one_by_one = crc32c_combine(crc32c_combine(a, zeros, (uint64_t)1 << k), zeros, (uint64_t)1 << k);
        assert_int_equal(crc32c_combine(a, twice, (uint64_t)2 << k), one_by_one);
        zeros = twice;
    }
    for (int round = 0; round < 1000; round++) {
        uint32_t a = (uint32_t)next_random(&seed), b = (uint32_t)next_random(&seed), c = (uint32_t)next_random(&seed);
        uint64_t len_b = next_random(&seed) >> 1, len_c = next_random(&seed) >> 1;
        uint32_t left = crc32c_combine(crc32c_combine(a, b, len_b), c, len_c);
        assert_int_equal(left, crc32c_combine(a, crc32c_combine(b, c, len_c), len_b + len_c));
    }
}

static void test_crc_text_forms(void **state) {
    (void)state;
    char text[CRC_TEXT_SIZE], base64[CRC_BASE64_SIZE];
    uint32_t crc = 0;
    crc32c_to_text(0x1a2b3c4d, text);
    assert_string_equal(text, "crc32c:1a2b3c4d");
    assert_int_equal(crc32c_from_text(slice_of(text), &crc), 0);
    assert_int_equal(crc, 0x1a2b3c4d);
    crc32c_to_base64(0xe3069283, base64);
    assert_string_equal(base64, "4waSgw==");
    static const char *const bad[] = {"",
                                      "crc32c:",
                                      "crc32c:1a2b3c4",
                                      "crc32c:1a2b3c4d5",
                                      "crc32c:1A2B3C4D",
                                      "crc32:1a2b3c4dx",
                                      "CRC32C:1a2b3c4d",
                                      "crc32c:1a2b3c4g",
                                      " crc32c:1a2b3c4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(crc32c_from_text(edge_text(bad[i]), &crc), ERR_INVALID);
    static const char *const bad64[] = {"",         "4waSgw=",  "4waSgw===", "4waSgx==", "4waSgw=A", "4waSg===",
                                        "4wa-gw==", "4wa gw==", "====4waS",  "4waSgwAA", "4w\naSg=="};
    for (size_t i = 0; i < sizeof bad64 / sizeof bad64[0]; i++)
        assert_int_equal(crc32c_from_base64(edge_text(bad64[i]), &crc), ERR_INVALID);
    assert_int_equal(crc, 0x1a2b3c4d);
}

static void test_crc_base64_is_that_of_its_bytes(void **state) {
    (void)state;
    uint64_t seed = 7;
    struct buf b = BUF_INIT;
    for (int round = 0; round < 1000; round++) {
        uint32_t crc = (uint32_t)next_random(&seed), back;
        uint8_t bytes[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
        char text[CRC_BASE64_SIZE];
        buf_clear(&b);
        assert_int_equal(base64_add(&b, slice_make(bytes, 4)), 0);
        crc32c_to_base64(crc, text);
        assert_string_equal(text, b.data);
        assert_int_equal(crc32c_from_base64(slice_of(text), &back), 0);
        assert_int_equal(back, crc);
    }
    buf_release(&b);
}

static void digest_text(struct digest *d, size_t size, const char *text, char *hex) {
    uint8_t sum[SHA256_SIZE];
    size_t half = strlen(text) / 2;
    assert_int_equal(digest_begin(d), 0);
    assert_int_equal(digest_add(d, text, half), 0);
    assert_int_equal(digest_add(d, text + half, strlen(text) - half), 0);
    assert_int_equal(digest_end(d, sum), 0);
    hex_encode(sum, size, hex);
}

/* FIPS 180-1, FIPS 180-2 and RFC 1321 examples, on one context used again and again, also after a run that was not ended. */
static void test_digest_known_vectors_on_one_context(void **state) {
    (void)state;
    static const char *const vectors[][4] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "d41d8cd98f00b204e9800998ecf8427e",
         "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "900150983cd24fb0d6963f7d28e17f72",
         "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", "8215ef0796a20bcaaae116d3876c664a",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    };
    struct digest *sha, *md5, *sha1;
    char hex[2 * SHA256_SIZE + 1];
    assert_int_equal(digest_new(&sha, DIGEST_SHA256), 0);
    assert_int_equal(digest_new(&md5, DIGEST_MD5), 0);
    assert_int_equal(digest_new(&sha1, DIGEST_SHA1), 0);
    for (int round = 0; round < 9; round++) {
        assert_int_equal(digest_begin(sha), 0);
        assert_int_equal(digest_add(sha, "left behind", 11), 0);
        digest_text(sha, SHA256_SIZE, vectors[round % 3][0], hex);
        assert_string_equal(hex, vectors[round % 3][1]);
        digest_text(md5, MD5_SIZE, vectors[round % 3][0], hex);
        assert_string_equal(hex, vectors[round % 3][2]);
        digest_text(sha1, SHA1_SIZE, vectors[round % 3][0], hex);
        assert_string_equal(hex, vectors[round % 3][3]);
    }
    digest_destroy(&sha);
    assert_null(sha);
    digest_destroy(&sha);
    digest_destroy(&md5);
    digest_destroy(&sha1);
}

UNIT_MAIN(cmocka_unit_test(test_crc32c_rfc3720_vectors), cmocka_unit_test(test_crc32c_every_length_and_alignment),
          cmocka_unit_test(test_crc32c_of_more_than_two_gib), cmocka_unit_test(test_crc32c_incremental),
          cmocka_unit_test(test_crc32c_combine_equals_direct), cmocka_unit_test(test_crc32c_combine_long_lengths),
          cmocka_unit_test(test_crc_text_forms), cmocka_unit_test(test_crc_base64_is_that_of_its_bytes),
          cmocka_unit_test(test_digest_known_vectors_on_one_context))
