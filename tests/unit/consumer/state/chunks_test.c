/* The recorded chunks of an upload: found, in order, and no memory for chunks without a record. */
#include "unit.h"

#include "consumer/state/chunks.h"
#include "pure/geometry.h"
#include <stdlib.h>
#include <string.h>

#define SMALL 1000u

static int allocations_left = -1; /* before one fails; -1: none fails */

void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size) {
    if (allocations_left >= 0 && allocations_left-- == 0)
        return NULL;
    return __real_reallocarray(old, count, size);
}

static void add(struct chunks *c, uint32_t chunk) {
    struct chunk_info *info;
    assert_int_equal(chunks_add(c, chunk, &info), 0);
    assert_int_equal(info->seq, 0);
    info->seq = chunk + 1;
}

/* Compared with a plain array. */
static void assert_holds(const struct chunks *c, const bool recorded[SMALL]) {
    uint32_t count = 0, next = 0;
    for (uint32_t i = 0; i < SMALL; i++) {
        const struct chunk_info *info = chunks_find(c, i);
        assert_int_equal(info != NULL, recorded[i]);
        if (!info)
            continue;
        count++;
        assert_int_equal(info->seq, i + 1);
        assert_ptr_equal(chunks_next(c, &next), info);
        assert_int_equal(next++, i);
    }
    assert_null(chunks_next(c, &next));
    assert_int_equal(c->count, count);
}

static void test_any_order_of_adding_and_removing(void **state) {
    (void)state;
    struct chunks c = {0};
    bool recorded[SMALL] = {false};
    uint32_t random = 7;
    for (int step = 0; step < 20000; step++) {
        random = random * 1664525u + 1013904223u;
        uint32_t chunk = (random >> 8) % SMALL;
        if (recorded[chunk])
            chunks_remove(&c, chunk);
        else
            add(&c, chunk);
        recorded[chunk] = !recorded[chunk];
        if (step % 500 == 0)
            assert_holds(&c, recorded);
    }
    assert_holds(&c, recorded);
    for (uint32_t i = 0; i < SMALL; i++)
        if (recorded[i])
            chunks_remove(&c, i);
    assert_int_equal(c.page_count, 0);
    chunks_release(&c);
}

static size_t bytes_of(const struct chunks *c) {
    size_t bytes = c->page_cap * sizeof *c->pages;
    for (uint32_t i = 0; i < c->page_count; i++)
        bytes += c->pages[i].cap * sizeof *c->pages[i].items;
    return bytes;
}

static void test_memory_follows_the_records(void **state) {
    (void)state;
    struct chunks c = {0};
    assert_int_equal(bytes_of(&c), 0);
    add(&c, CHUNKS_MAX - 1);
    assert_true(bytes_of(&c) <= 128);
    chunks_release(&c);
    for (uint32_t i = 0; i < 64 * 1000; i++)
        add(&c, i);
    assert_true(bytes_of(&c) / c.count <= 33);
    chunks_release(&c);
    for (uint32_t i = 0; i < CHUNKS_MAX; i += CHUNKS_OF_PAGE) /* the worst case: one in each page */
        add(&c, i);
    assert_true(bytes_of(&c) / c.count <= 128);
    chunks_release(&c);
}

static void test_etags_are_freed(void **state) {
    (void)state;
    struct chunks c = {0};
    struct chunk_info *info;
    assert_int_equal(chunks_add(&c, 5, &info), 0);
    info->etag_form = ETAG_TEXT;
    info->text = strdup("an etag that is no hex"); /* the sanitizer reports a leak */
    assert_non_null(info->text);
    chunks_release(&c);
    assert_null(chunks_find(&c, 5));
}

/* Removing a record moves the later ones of its page. */
static void test_each_etag_is_freed_once(void **state) {
    (void)state;
    struct chunks c = {0};
    struct chunk_info *info;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(chunks_add(&c, i, &info), 0);
        info->etag_form = ETAG_TEXT;
        info->text = strdup("an etag that is no hex");
    }
    free(chunks_find(&c, 0)->text);
    chunks_remove(&c, 0);
    chunks_release(&c);
    assert_int_equal(c.page_count, 0);
}

static void add_without_memory(struct chunks *c, uint32_t chunk, int allocations) {
    struct chunk_info *info;
    allocations_left = allocations;
    int err = chunks_add(c, chunk, &info);
    allocations_left = -1;
    assert_int_equal(err, ERR_NOMEM);
    assert_null(chunks_find(c, chunk));
}

static void test_without_memory_nothing_changes(void **state) {
    (void)state;
    struct chunks c = {0};
    add_without_memory(&c, 5, 0); /* for the page, then for its records */
    add_without_memory(&c, 5, 1);
    assert_int_equal(c.page_count + c.count, 0);
    add(&c, 5);
    uint32_t more = 6;
    for (; c.pages[0].cap > c.count; more++)
        add(&c, more);
    add_without_memory(&c, more, 0); /* in a page with records */
    assert_int_equal(c.page_count, 1);
    assert_int_equal(c.count, more - 5);
    assert_int_equal(chunks_find(&c, 5)->seq, 6);
    add(&c, more);
    chunks_release(&c);
}

UNIT_MAIN(cmocka_unit_test(test_any_order_of_adding_and_removing), cmocka_unit_test(test_memory_follows_the_records),
          cmocka_unit_test(test_etags_are_freed), cmocka_unit_test(test_each_etag_is_freed_once),
          cmocka_unit_test(test_without_memory_nothing_changes))
