#include "consumer/state/chunks.h"
#include "pure/check.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct chunk_info) == 32, "one of these is kept for every recorded chunk");

#define ITEMS_MIN 2

static uint64_t bit_of(uint32_t chunk) {
    return UINT64_C(1) << (chunk % CHUNKS_OF_PAGE);
}

/* Where the record of this chunk is in the page, or has to go. */
static uint32_t rank_of(const struct chunk_page *page, uint32_t chunk) {
    return (uint32_t)__builtin_popcountll(page->recorded & (bit_of(chunk) - 1));
}

static uint32_t items_of(const struct chunk_page *page) {
    return (uint32_t)__builtin_popcountll(page->recorded);
}

/* The first page with this number or a higher one. Without gaps a page is at its number. */
static uint32_t page_position(const struct chunks *c, uint32_t number) {
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

static struct chunk_page *page_find(const struct chunks *c, uint32_t chunk) {
    uint32_t number = chunk / CHUNKS_OF_PAGE, at = page_position(c, number);
    return at < c->page_count && c->pages[at].number == number ? &c->pages[at] : NULL;
}

struct chunk_info *chunks_find(const struct chunks *c, uint32_t chunk) {
    struct chunk_page *page = page_find(c, chunk);
    return page && (page->recorded & bit_of(chunk)) ? &page->items[rank_of(page, chunk)] : NULL;
}

static int pages_reserve(struct chunks *c) {
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

static int page_add(struct chunks *c, uint32_t number, struct chunk_page **page) {
    int err = pages_reserve(c);
    if (err)
        return err;
    uint32_t at = page_position(c, number);
    *page = &c->pages[at];
    memmove(*page + 1, *page, (c->page_count - at) * sizeof **page);
    **page = (struct chunk_page){.number = number};
    c->page_count++;
    return 0;
}

static void page_remove(struct chunks *c, struct chunk_page *page) {
    free(page->items);
    size_t after = c->page_count - (size_t)(page - c->pages) - 1;
    memmove(page, page + 1, after * sizeof *page);
    c->page_count--;
}

static int items_reserve(struct chunk_page *page) {
    if (items_of(page) < page->cap)
        return 0;
    uint32_t cap = page->cap + page->cap / 2 + 1;
    cap = cap < ITEMS_MIN ? ITEMS_MIN : cap < CHUNKS_OF_PAGE ? cap : CHUNKS_OF_PAGE;
    struct chunk_info *items = reallocarray(page->items, cap, sizeof *items);
    if (!items)
        return ERR_NOMEM;
    page->items = items;
    page->cap = cap;
    return 0;
}

int chunks_add(struct chunks *c, uint32_t chunk, struct chunk_info **info) {
    struct chunk_page *page = page_find(c, chunk);
    int err = page ? 0 : page_add(c, chunk / CHUNKS_OF_PAGE, &page);
    if (err)
        return err;
    CHECK(!(page->recorded & bit_of(chunk)));
    err = items_reserve(page);
    if (err) {
        if (!page->recorded)
            page_remove(c, page);
        return err;
    }
    uint32_t rank = rank_of(page, chunk);
    *info = &page->items[rank];
    memmove(*info + 1, *info, (items_of(page) - rank) * sizeof **info);
    **info = (struct chunk_info){0};
    page->recorded |= bit_of(chunk);
    c->count++;
    return 0;
}

void chunks_remove(struct chunks *c, uint32_t chunk) {
    struct chunk_page *page = page_find(c, chunk);
    CHECK(page && (page->recorded & bit_of(chunk)));
    uint32_t rank = rank_of(page, chunk);
    page->recorded &= ~bit_of(chunk);
    c->count--;
    memmove(&page->items[rank], &page->items[rank + 1], (items_of(page) - rank) * sizeof *page->items);
    if (!page->recorded)
        page_remove(c, page);
}

struct chunk_info *chunks_next(const struct chunks *c, uint32_t *chunk) {
    uint32_t number = *chunk / CHUNKS_OF_PAGE;
    for (uint32_t at = page_position(c, number); at < c->page_count; at++) {
        const struct chunk_page *page = &c->pages[at];
        uint64_t left = page->number == number ? page->recorded & ~(bit_of(*chunk) - 1) : page->recorded;
        if (!left)
            continue;
        *chunk = page->number * CHUNKS_OF_PAGE + (uint32_t)__builtin_ctzll(left);
        return &page->items[rank_of(page, *chunk)];
    }
    return NULL;
}

void chunks_release(struct chunks *c) {
    for (uint32_t at = 0; at < c->page_count; at++) {
        struct chunk_page *page = &c->pages[at];
        for (uint32_t i = 0; i < items_of(page); i++)
            if (page->items[i].etag_form == ETAG_TEXT)
                free(page->items[i].text);
        free(page->items);
    }
    free(c->pages);
    *c = (struct chunks){0};
}
