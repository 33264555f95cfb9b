#include "pure/geometry.h"
#include "unit.h"

#define MIB ((uint64_t)1 << 20)

/* The invariants of every plan, for any input. */
static void check_plan(const struct geometry_limits *limits, const struct geometry *g) {
    assert_true(geometry_is_valid(g));
    assert_true(g->chunk_size >= limits->chunk_min_bytes);
    assert_true(g->chunk_size <= limits->chunk_max_bytes);
    assert_int_equal(g->chunk_size % CHUNK_ALIGN, 0);
    assert_true(g->chunks <= limits->chunks_max);
    if (g->chunks == 0)
        return;
    assert_int_equal(geometry_offset(g, 0), 0);
    uint32_t last = g->chunks - 1;
    assert_int_equal(geometry_offset(g, last) + geometry_length(g, last), g->size);
    assert_true(geometry_length(g, last) > 0);
    if (last > 0) {
        assert_int_equal(geometry_length(g, last - 1), g->chunk_size);
        assert_int_equal(geometry_offset(g, 1), g->chunk_size);
    }
}

static void expect(uint64_t size, uint64_t wanted, uint64_t chunk_size, uint32_t chunks) {
    struct geometry g;
    assert_int_equal(geometry_plan(&geometry_limits_s3, size, wanted, &g), 0);
    check_plan(&geometry_limits_s3, &g);
    assert_int_equal(g.size, size);
    assert_int_equal(g.chunk_size, chunk_size);
    assert_int_equal(g.chunks, chunks);
}

static void test_geometry_plain_cases(void **state) {
    (void)state;
    expect(0, CHUNK_SIZE_DEFAULT, 8 * MIB, 0);
    expect(1, CHUNK_SIZE_DEFAULT, 8 * MIB, 1);
    expect(8 * MIB, CHUNK_SIZE_DEFAULT, 8 * MIB, 1);
    expect(8 * MIB + 1, CHUNK_SIZE_DEFAULT, 8 * MIB, 2);
    expect(16 * MIB - 1, CHUNK_SIZE_DEFAULT, 8 * MIB, 2);
    expect(100 * MIB, 5 * MIB, 5 * MIB, 20);
}

static void test_geometry_wanted_is_rounded_and_kept_within_the_store(void **state) {
    (void)state;
    expect(100 * MIB, 5 * MIB + 1, 5 * MIB + CHUNK_ALIGN, 20);
    expect(100 * MIB, 8 * MIB - 1, 8 * MIB, 13);
    expect(100 * MIB, 0, 5 * MIB, 20);
    expect(100 * MIB, 1, 5 * MIB, 20);
    expect(100 * MIB, UINT64_MAX, 5 * 1024 * MIB, 1);
    expect(100 * MIB, 5 * 1024 * MIB + 1, 5 * 1024 * MIB, 1);
}

static void test_geometry_grows_to_ten_thousand_parts(void **state) {
    (void)state;
    expect(10000 * 8 * MIB, 8 * MIB, 8 * MIB, 10000);
    expect(10000 * 8 * MIB + 1, 8 * MIB, 8 * MIB + CHUNK_ALIGN, 9923);
    expect((uint64_t)5 << 40, 8 * MIB, 549781504, 10000);
    expect((uint64_t)10000 * 5 * 1024 * MIB, 8 * MIB, 5 * 1024 * MIB, 10000); /* 48.8 TiB */
    expect((uint64_t)10000 * 5 * 1024 * MIB - 1, 8 * MIB, 5 * 1024 * MIB, 10000);
}

static void test_geometry_refuses_a_file_that_no_store_accepts(void **state) {
    (void)state;
    struct geometry g;
    uint64_t most = (uint64_t)10000 * 5 * 1024 * MIB;
    assert_int_equal(geometry_plan(&geometry_limits_s3, most + 1, 8 * MIB, &g), ERR_LIMIT);
    assert_int_equal(geometry_plan(&geometry_limits_s3, UINT64_MAX, 8 * MIB, &g), ERR_LIMIT);
    assert_int_equal(geometry_plan(&geometry_limits_file, (uint64_t)INT64_MAX + 1, 8 * MIB, &g), ERR_LIMIT);
    assert_int_equal(geometry_plan(&geometry_limits_file, UINT64_MAX, UINT64_MAX, &g), ERR_LIMIT);
    struct geometry_limits few = geometry_limits_s3;
    few.file_max_bytes = INT64_MAX; /* the parts themselves must not suffice */
    assert_int_equal(geometry_plan(&few, most, 8 * MIB, &g), 0);
    assert_int_equal(geometry_plan(&few, most + 1, 8 * MIB, &g), ERR_LIMIT);
}

static void test_geometry_of_files(void **state) {
    (void)state;
    struct geometry g;
    assert_int_equal(geometry_plan(&geometry_limits_file, INT64_MAX, 1, &g), 0);
    check_plan(&geometry_limits_file, &g);
    assert_int_equal(g.chunks, CHUNKS_MAX);
    assert_int_equal(geometry_plan(&geometry_limits_file, 3 * CHUNK_ALIGN + 5, 1, &g), 0);
    check_plan(&geometry_limits_file, &g);
    assert_int_equal(g.chunks, 4);
    assert_int_equal(geometry_length(&g, 3), 5);
    assert_int_equal(geometry_offset(&g, 3), 3 * CHUNK_ALIGN);
}

static void test_geometry_any_numbers_give_a_plan_or_a_limit(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        const struct geometry_limits *limits = round % 2 ? &geometry_limits_s3 : &geometry_limits_file;
        struct geometry g;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t size = seed >> (round % 64);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        int err = geometry_plan(limits, size, seed >> (round / 64 % 64), &g);
        assert_int_equal(err, size > limits->file_max_bytes ? ERR_LIMIT : 0);
        if (!err)
            check_plan(limits, &g);
    }
}

static void test_geometry_from_elsewhere_is_checked(void **state) {
    (void)state;
    static const struct {
        struct geometry g;
        bool valid;
    } cases[] = {
        {{0, CHUNK_ALIGN, 0}, true},
        {{0, CHUNK_ALIGN, 1}, false},
        {{1, CHUNK_ALIGN, 1}, true},
        {{1, CHUNK_ALIGN, 0}, false},
        {{1, CHUNK_ALIGN, 2}, false},
        {{1, 0, 0}, false},
        {{1, 1, 1}, false},
        {{1, CHUNK_ALIGN + 1, 1}, false},
        {{CHUNK_ALIGN * CHUNKS_MAX, CHUNK_ALIGN, CHUNKS_MAX}, true},
        {{CHUNK_ALIGN * CHUNKS_MAX + 1, CHUNK_ALIGN, CHUNKS_MAX + 1}, false},
        {{INT64_MAX, (uint64_t)1 << 44, CHUNKS_MAX}, true},
        {{(uint64_t)INT64_MAX + 1, (uint64_t)1 << 44, CHUNKS_MAX}, false},
        {{UINT64_MAX, UINT64_MAX - 65535, 2}, false},
        {{5, (uint64_t)1 << 63, 1}, false},
        {{CHUNK_ALIGN << 32, CHUNK_ALIGN, 0}, false}, /* the count would wrap to 0 in 32 bits */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(geometry_is_valid(&cases[i].g), cases[i].valid);
}

/* ---- inputs of unknown length ---- */

static struct geometry open_of(const struct geometry_limits *limits, uint64_t expected, uint64_t wanted) {
    struct geometry g;
    assert_int_equal(geometry_plan_open(limits, expected, wanted, &g), 0);
    assert_true(geometry_is_valid(&g));
    return g;
}

/* Each chunk begins where the one before ends, and is as large as that one or twice as large. */
static void test_geometry_of_an_open_input_has_growing_chunks(void **state) {
    (void)state;
    struct geometry g = open_of(&geometry_limits_s3, 0, CHUNK_SIZE_DEFAULT);
    assert_int_equal(g.chunks, 10000);
    assert_int_equal(g.grow, 1250);
    uint64_t end = 0, before = 8 * MIB;
    for (uint32_t i = 0; i < g.chunks; i++) {
        uint64_t length = geometry_length(&g, i);
        assert_int_equal(geometry_offset(&g, i), end);
        assert_true(length == before || length == 2 * before || length == CHUNK_GROWN_MAX);
        end += length;
        before = length;
    }
    assert_int_equal(end, g.size);
    assert_int_equal(geometry_length(&g, 1249), 8 * MIB);
    assert_int_equal(geometry_length(&g, 1250), 16 * MIB);
    assert_int_equal(geometry_length(&g, 1874), 16 * MIB);
    assert_int_equal(geometry_length(&g, 1875), 32 * MIB);
    assert_int_equal(before, CHUNK_GROWN_MAX);
    assert_true(end > (uint64_t)20 << 40);
}

static void test_geometry_of_the_longest_inputs(void **state) {
    (void)state;
    uint64_t most = (uint64_t)10000 * 5 * 1024 * MIB; /* 48.8 TiB */
    assert_int_equal(open_of(&geometry_limits_s3, most, 0).size, most);
    assert_int_equal(open_of(&geometry_limits_s3, 0, 5 * 1024 * MIB).size, most);
    struct geometry g;
    assert_int_equal(geometry_plan_open(&geometry_limits_s3, most + 1, 0, &g), ERR_LIMIT);
    assert_true(open_of(&geometry_limits_file, 0, CHUNK_SIZE_DEFAULT).size > (uint64_t)1 << 50);
    assert_int_equal(open_of(&geometry_limits_file, 0, UINT64_MAX).size, INT64_MAX);
}

static void test_geometry_of_an_expected_size_does_not_grow(void **state) {
    (void)state;
    struct geometry g = open_of(&geometry_limits_s3, (uint64_t)5 << 40, CHUNK_SIZE_DEFAULT);
    assert_int_equal(g.chunk_size, 549781504);
    assert_int_equal(g.chunks, 10000);
    assert_int_equal(g.grow, 0);
    g = open_of(&geometry_limits_s3, 1, CHUNK_SIZE_DEFAULT);
    assert_int_equal(g.chunks, 2); /* it may be longer, and fails then */
}

static void test_geometry_of_an_input_is_known_from_its_last_chunk(void **state) {
    (void)state;
    struct geometry g, open = open_of(&geometry_limits_s3, 0, CHUNK_SIZE_DEFAULT);
    uint64_t offset = geometry_offset(&open, 1300);
    assert_int_equal(geometry_end(&open, 1300, offset, &g), ERR_INVALID);
    assert_int_equal(geometry_end(&open, 1300, offset + 16 * MIB + 1, &g), ERR_INVALID);
    assert_int_equal(geometry_end(&open, 10000, offset, &g), ERR_INVALID);
    assert_int_equal(geometry_end(&open, 1300, offset + 16 * MIB, &g), 0);
    assert_true(geometry_is_valid(&g));
    assert_int_equal(geometry_end(&open, 1300, offset + 1, &g), 0);
    assert_true(geometry_is_valid(&g));
    assert_int_equal(g.chunks, 1301);
    assert_int_equal(g.size, offset + 1);
    assert_int_equal(geometry_length(&g, 1299), 16 * MIB);
    assert_int_equal(geometry_length(&g, 1300), 1);
    g.size = offset + 16 * MIB + 1;
    assert_false(geometry_is_valid(&g));
}

static void test_geometry_without_a_size_is_open(void **state) {
    (void)state;
    assert_int_equal(geometry_open(5, CHUNK_ALIGN, 1, 0).size, 5);
    assert_int_equal(geometry_open(0, CHUNK_ALIGN, 3, 0).size, 3 * CHUNK_ALIGN);
    assert_int_equal(geometry_open(0, CHUNK_ALIGN, 5, 2).size, (2 + 2 + 4 + 8) * CHUNK_ALIGN);
    assert_int_equal(geometry_open(0, CHUNK_ALIGN, 0, 0).size, 0);
    assert_int_equal(geometry_open(0, UINT64_MAX, 2, 0).size, 0); /* from a peer: not valid */
    assert_int_equal(geometry_open(0, CHUNK_ALIGN, CHUNKS_MAX + 1, 0).size, 0);
}

UNIT_MAIN(cmocka_unit_test(test_geometry_plain_cases),
          cmocka_unit_test(test_geometry_wanted_is_rounded_and_kept_within_the_store),
          cmocka_unit_test(test_geometry_grows_to_ten_thousand_parts),
          cmocka_unit_test(test_geometry_refuses_a_file_that_no_store_accepts),
          cmocka_unit_test(test_geometry_of_files), cmocka_unit_test(test_geometry_any_numbers_give_a_plan_or_a_limit),
          cmocka_unit_test(test_geometry_from_elsewhere_is_checked),
          cmocka_unit_test(test_geometry_of_an_open_input_has_growing_chunks),
          cmocka_unit_test(test_geometry_of_the_longest_inputs),
          cmocka_unit_test(test_geometry_of_an_expected_size_does_not_grow),
          cmocka_unit_test(test_geometry_of_an_input_is_known_from_its_last_chunk),
          cmocka_unit_test(test_geometry_without_a_size_is_open))
