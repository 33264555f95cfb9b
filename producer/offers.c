#include "producer/offers.h"
#include "pure/arith.h"
#include "pure/check.h"
#include "pure/deadline.h"
#include "pure/list.h"
#include "pure/ref.h"
#include <stdlib.h>
#include <sys/param.h>

#define SLICE_MS UINT64_C(100)
#define RATE_SLICES UINT64_C(5) /* the grant rate is that of the last half second */
#define AGAIN_DOUBLED_MAX 16u   /* 1 ms doubled so often is more than OFFERS_AGAIN_MAX_MS */
#define LAST_DOUBLED_MAX 3u     /* for the last ones */

int offers_init(struct offers *o) {
    memset(o, 0, sizeof *o);
    o->pool = calloc(OFFERS_MAX, sizeof *o->pool);
    if (!o->pool)
        return ERR_NOMEM;
    for (size_t i = OFFERS_MAX; i-- > 0;) {
        o->pool[i].next = o->free;
        o->free = &o->pool[i];
    }
    o->due_ms = UINT64_MAX;
    return 0;
}

void offers_release(struct offers *o) {
    free(o->pool);
    hash_release(&o->by_ref);
    memset(o, 0, sizeof *o);
}

/* --- look-up --- */

struct offer *offers_find(const struct offers *o, const struct ref *ref) {
    for (struct hash_node *n = hash_first(&o->by_ref, ref_hash(ref)); n; n = hash_next(n)) {
        struct offer *offer = list_entry(n, struct offer, by_ref);
        if (ref_equal(&offer->ref, ref))
            return offer;
    }
    return NULL;
}

/* --- states --- */

static enum offer_queue offer_queue_of(const struct offer *offer) {
    enum job_kind kind = offer->ref.kind;
    return kind == JOB_CHUNK || kind == JOB_PUT || job_kind_asks(kind) ? QUEUE_BULK : QUEUE_URGENT;
}

static bool offer_is_outstanding(const struct offer *offer) {
    return offer->state == OFFER_OPEN || offer->repeat;
}

static void offers_leave_state(struct offers *o, struct offer *offer) {
    if (offer_is_outstanding(offer))
        o->outstanding--;
    if (offer->state == OFFER_READY) {
        enum offer_queue q = offer_queue_of(offer);
        *(offer->prev ? &offer->prev->next : &o->first[q]) = offer->next;
        *(offer->next ? &offer->next->prev : &o->last[q]) = offer->prev;
        offer->next = offer->prev = NULL;
        o->ready_new -= !offer->repeat;
    }
    if (offer->state == OFFER_LEASED) {
        o->leased--;
        o->leased_bytes -= offer->bytes;
    }
    offer->state = OFFER_FREE;
    offer->repeat = offer->until = false;
}

static void offers_enter_state(struct offers *o, struct offer *offer, enum offer_state state) {
    offer->state = state;
    if (offer_is_outstanding(offer))
        o->outstanding++;
    if (state == OFFER_READY) {
        enum offer_queue q = offer_queue_of(offer);
        offer->prev = o->last[q];
        *(o->last[q] ? &o->last[q]->next : &o->first[q]) = offer;
        o->last[q] = offer;
        o->ready_new += !offer->repeat;
    }
    if (state == OFFER_LEASED) {
        o->leased++;
        o->leased_bytes += offer->bytes;
    }
    if (state == OFFER_OPEN || state == OFFER_WAITING || offer->until)
        deadline_lower(&o->due_ms, offer->due_ms);
}

int offers_add(struct offers *o, const struct ref *ref, struct file *f, uint64_t bytes, struct offer **out) {
    struct offer *offer = o->free;
    *out = NULL;
    if (!offer)
        return ERR_LIMIT;
    CHECK(!offers_find(o, ref));
    o->free = offer->next;
    size_t end = (size_t)(offer - o->pool) + 1;
    o->top = MAX(o->top, end);
    *offer = (struct offer){.ref = *ref, .file = f, .bytes = bytes};
    hash_insert(&o->by_ref, &offer->by_ref, ref_hash(ref));
    o->used++;
    offers_enter_state(o, offer, OFFER_READY);
    *out = offer;
    return 0;
}

void offers_remove(struct offers *o, struct offer *offer) {
    offers_leave_state(o, offer);
    hash_remove(&o->by_ref, &offer->by_ref);
    memset(offer, 0, sizeof *offer);
    offer->next = o->free;
    o->free = offer;
    o->used--;
}

static void offers_remove_ref(struct offers *o, enum job_kind kind, const struct id128 *upload, uint32_t chunk) {
    struct ref ref = {.kind = kind, .upload = *upload, .chunk = chunk};
    struct offer *offer = offers_find(o, &ref);
    if (offer)
        offers_remove(o, offer);
}

void offers_forget_file(struct offers *o, const struct file *f) {
    offers_remove_ref(o, JOB_BEGIN, &f->upload, 0);
    offers_remove_ref(o, JOB_FINISH, &f->upload, 0);
    offers_remove_ref(o, JOB_PUT, &f->upload, 0);
    offers_remove_ref(o, JOB_STAT, &f->upload, 0);
    if (f->asks)
        offers_remove_ref(o, f->asks, &f->upload, 0);
    offers_remove_ref(o, JOB_ABORT, &f->superseded, 0);
    for (uint32_t i = f->geometry.chunks; i-- > 0;)
        if (file_chunk_is_taken(f, i))
            offers_remove_ref(o, f->item ? JOB_READ : JOB_CHUNK, &f->upload, i);
}

/* --- time --- */

/* Times are not negative, so the difference of two fits. */
static int offers_compare_times(const void *a, const void *b) {
    return *(const int32_t *)a - *(const int32_t *)b;
}

static uint64_t offers_median_ms(const struct offers *o) {
    int32_t sorted[OFFERS_TIMES];
    size_t count = MIN(o->times_at, OFFERS_TIMES);
    memcpy(sorted, o->times_ms, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, offers_compare_times);
    return (uint64_t)sorted[count / 2];
}

static void offers_note_grant(struct offers *o, const struct offer *offer, uint64_t now_ms) {
    struct offers_slice *s = &o->slices[now_ms / SLICE_MS % OFFERS_SLICES];
    if (s->slice != now_ms / SLICE_MS)
        *s = (struct offers_slice){.slice = now_ms / SLICE_MS, .least_ms = UINT32_MAX};
    s->grants++;
    uint64_t took = now_ms - offer->first_ms; /* of a repeated one: at most, as any of its copies may be the one */
    uint32_t ms = (uint32_t)MIN(took, INT32_MAX);
    if (offer->times == 1)
        s->least_ms = MIN(ms, s->least_ms);
    o->times_ms[o->times_at++ % OFFERS_TIMES] = (int32_t)ms;
    if (o->times_at < OFFERS_TIMES || o->times_at % 16 == 0)
        o->median_ms = offers_median_ms(o);
}

/* Rule 4: how long an offer stays OPEN before it is repeated. */
static uint64_t offers_patience_ms(const struct offers *o, uint32_t times) {
    uint32_t doubled = MIN(times - 1, o->last_ones ? LAST_DOUBLED_MAX : AGAIN_DOUBLED_MAX);
    uint64_t ms = MAX(4 * o->median_ms, OFFERS_AGAIN_MIN_MS) << doubled;
    return MIN(ms, OFFERS_AGAIN_MAX_MS);
}

size_t offers_window(const struct offers *o, const struct fleet *fleet, uint64_t now_ms) {
    if (fleet->uploaders == 0)
        return 0;
    uint64_t slice = now_ms / SLICE_MS, grants = 0, least = UINT32_MAX;
    for (const struct offers_slice *s = o->slices, *end = s + OFFERS_SLICES; s != end; s++) {
        if (s->grants == 0 || slice - s->slice >= OFFERS_SLICES)
            continue;
        least = MIN(s->least_ms, least);
        if (slice - s->slice < RATE_SLICES)
            grants += s->grants;
    }
    uint64_t window = fleet->share;
    if (least < UINT32_MAX) /* grants / (RATE_SLICES × SLICE_MS) × T, rounded up */
        window += (2 * grants * (least + TAIL_PACE_MS) + RATE_SLICES * SLICE_MS - 1) / (RATE_SLICES * SLICE_MS);
    return (size_t)clamp_u64(window, OFFERS_FLOOR, OFFERS_WINDOW_MAX);
}

size_t offers_room(const struct offers *o, const struct fleet *fleet, uint64_t now_ms) {
    size_t window = offers_window(o, fleet, now_ms), taken = o->outstanding + o->ready_new;
    size_t room = sub_or_zero(window, taken);
    return MIN(room, OFFERS_MAX - o->used);
}

void offers_sent(struct offers *o, struct offer *offer, uint64_t now_ms) {
    offers_leave_state(o, offer);
    if (offer->times == 0)
        offer->first_ms = now_ms;
    offer->times += offer->times < UINT32_MAX;
    offer->offered_ms = now_ms;
    offer->due_ms = now_ms + offers_patience_ms(o, offer->times);
    offers_enter_state(o, offer, OFFER_OPEN);
}

void offers_granted(struct offers *o, struct offer *offer, uint64_t now_ms) {
    if (offer_is_outstanding(offer))
        offers_note_grant(o, offer, now_ms);
    offers_leave_state(o, offer);
    offer->times = offer->refused = offer->hedge_count = 0;
    offer->hedge_due_ms = 0;
    offers_enter_state(o, offer, OFFER_LEASED);
}

void offers_lease_until(struct offers *o, struct offer *offer, uint64_t until_ms) {
    offers_leave_state(o, offer);
    offer->until = true;
    offer->due_ms = until_ms;
    offers_enter_state(o, offer, OFFER_LEASED);
}

void offers_wait(struct offers *o, struct offer *offer, uint64_t due_ms, uint64_t now_ms) {
    offers_leave_state(o, offer);
    offer->due_ms = due_ms;
    offer->times = 0;
    offer->refused += offer->refused < UINT32_MAX;
    offers_enter_state(o, offer, due_ms <= now_ms ? OFFER_READY : OFFER_WAITING);
}

static void offers_make_ready(struct offers *o, struct offer *offer, bool repeat) {
    offers_leave_state(o, offer);
    offer->repeat = repeat;
    offers_enter_state(o, offer, OFFER_READY);
}

void offers_collect_due(struct offers *o, uint64_t now_ms, bool fleet_free) {
    if (now_ms < o->due_ms)
        return;
    uint64_t next = UINT64_MAX;
    for (struct offer *offer = o->pool, *end = offer + o->top; offer != end; offer++) {
        bool open = offer->state == OFFER_OPEN;
        if (!open && offer->state != OFFER_WAITING && !offer->until)
            continue;
        if (offer->due_ms > now_ms)
            deadline_lower(&next, offer->due_ms);
        else if (!open || fleet_free)
            offers_make_ready(o, offer, open);
        else /* no free slot: checked again soon, because the offer may be lost nevertheless */
            deadline_lower(&next, now_ms + SLICE_MS);
    }
    o->due_ms = next;
}

void offers_reoffer_soon(struct offers *o, uint64_t now_ms) {
    uint64_t due_ms = now_ms + 2 * o->median_ms + SLICE_MS;
    for (struct offer *offer = o->pool, *end = offer + o->top; offer != end; offer++) {
        if (offer->state != OFFER_OPEN)
            continue;
        deadline_lower(&offer->due_ms, due_ms);
        deadline_lower(&o->due_ms, offer->due_ms);
    }
}

void offers_reoffer_now(struct offers *o, uint64_t now_ms) {
    if (now_ms < o->reoffered_ms + OFFERS_REOFFER_PAUSE_MS)
        return;
    o->reoffered_ms = o->due_ms = now_ms;
    for (struct offer *offer = o->pool, *end = offer + o->top; offer != end; offer++)
        if (offer->state == OFFER_OPEN)
            offer->due_ms = now_ms;
}

uint64_t offers_deadline(const struct offers *o) {
    return o->due_ms;
}
