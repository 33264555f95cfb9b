#include "consumer/state/chunks.h"
#include "pure/arith.h"
#include "pure/check.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct chunk_info) == 32, "one of these is kept for every recorded chunk");

#define ITEMS_MIN 2

static uint64_t chunk_bit(uint32_t chunk) {
    return UINT64_C(1) << (chunk % CHUNKS_OF_PAGE);
}

/* The index of the chunk's record in its page, or the index where it belongs. */
static uint32_t page_rank(const struct chunk_page *page, uint32_t chunk) {
    return (uint32_t)__builtin_popcountll(page->recorded & (chunk_bit(chunk) - 1));
}

static uint32_t page_items(const struct chunk_page *page) {
    return (uint32_t)__builtin_popcountll(page->recorded);
}

/* The index of the first page with this number or a higher one. Without gaps the index is the
 * number. */
static uint32_t chunks_page_position(const struct chunks *c, uint32_t number) {
    if (number < c->page_count && c->pages[number].number == number)
        return number;
    uint32_t low = 0, high = c->page_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->pages[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct chunk_page *chunks_find_page(const struct chunks *c, uint32_t chunk) {
    uint32_t number = chunk / CHUNKS_OF_PAGE, at = chunks_page_position(c, number);
    return at < c->page_count && c->pages[at].number == number ? &c->pages[at] : NULL;
}

struct chunk_info *chunks_find(const struct chunks *c, uint32_t chunk) {
    struct chunk_page *page = chunks_find_page(c, chunk);
    return page && (page->recorded & chunk_bit(chunk)) ? &page->items[page_rank(page, chunk)] : NULL;
}

static int chunks_reserve_page(struct chunks *c) {
    if (c->page_count < c->page_cap)
        return 0;
    uint32_t cap = c->page_cap + c->page_cap / 2 + 1;
    struct chunk_page *pages = reallocarray(c->pages, cap, sizeof *pages);
    if (!pages)
        return ERR_NOMEM;
    c->pages = pages;
    c->page_cap = cap;
    return 0;
}

static int chunks_add_page(struct chunks *c, uint32_t number, struct chunk_page **page) {
    int err = chunks_reserve_page(c);
    if (err)
        return err;
    uint32_t at = chunks_page_position(c, number);
    *page = &c->pages[at];
    memmove(*page + 1, *page, (c->page_count - at) * sizeof **page);
    **page = (struct chunk_page){.number = number};
    c->page_count++;
    return 0;
}

static void chunks_remove_page(struct chunks *c, struct chunk_page *page) {
    free(page->items);
    c->page_count--;
    size_t after = c->page_count - (size_t)(page - c->pages);
    memmove(page, page + 1, after * sizeof *page);
}

static int page_reserve_item(struct chunk_page *page) {
    if (page_items(page) < page->cap)
        return 0;
    uint32_t cap = (uint32_t)clamp_u64(page->cap + page->cap / 2, ITEMS_MIN, CHUNKS_OF_PAGE);
    struct chunk_info *items = reallocarray(page->items, cap, sizeof *items);
    if (!items)
        return ERR_NOMEM;
    page->items = items;
    page->cap = cap;
    return 0;
}

int chunks_add(struct chunks *c, uint32_t chunk, struct chunk_info **info) {
    struct chunk_page *page = chunks_find_page(c, chunk);
    int err = page ? 0 : chunks_add_page(c, chunk / CHUNKS_OF_PAGE, &page);
    if (err)
        return err;
    CHECK(!(page->recorded & chunk_bit(chunk)));
    err = page_reserve_item(page);
    if (err) {
        if (!page->recorded)
            chunks_remove_page(c, page);
        return err;
    }
    uint32_t rank = page_rank(page, chunk);
    *info = &page->items[rank];
    memmove(*info + 1, *info, (page_items(page) - rank) * sizeof **info);
    **info = (struct chunk_info){0};
    page->recorded |= chunk_bit(chunk);
    c->count++;
    return 0;
}

void chunks_remove(struct chunks *c, uint32_t chunk) {
    struct chunk_page *page = chunks_find_page(c, chunk);
    CHECK(page && (page->recorded & chunk_bit(chunk)));
    uint32_t rank = page_rank(page, chunk);
    page->recorded &= ~chunk_bit(chunk);
    c->count--;
    memmove(&page->items[rank], &page->items[rank + 1], (page_items(page) - rank) * sizeof *page->items);
    if (!page->recorded)
        chunks_remove_page(c, page);
}

struct chunk_info *chunks_next(const struct chunks *c, uint32_t *chunk) {
    uint32_t number = *chunk / CHUNKS_OF_PAGE;
    for (uint32_t at = chunks_page_position(c, number); at < c->page_count; at++) {
        const struct chunk_page *page = &c->pages[at];
        uint64_t left = page->number == number ? page->recorded & ~(chunk_bit(*chunk) - 1) : page->recorded;
        if (!left)
            continue;
        *chunk = page->number * CHUNKS_OF_PAGE + (uint32_t)__builtin_ctzll(left);
        return &page->items[page_rank(page, *chunk)];
    }
    return NULL;
}

void chunks_release(struct chunks *c) {
    for (uint32_t at = 0; at < c->page_count; at++) {
        struct chunk_page *page = &c->pages[at];
        for (uint32_t i = 0; i < page_items(page); i++)
            if (page->items[i].etag_form == ETAG_TEXT)
                free(page->items[i].text);
        free(page->items);
    }
    free(c->pages);
    *c = (struct chunks){0};
}
