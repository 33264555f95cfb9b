/*
 * From files to jobs to OFFERs. Jobs are made when the window has room for them, never ahead: a list of all chunks does
 * not exist. Order: begin, finish, abort and head before chunks and puts, so that files leave memory; within each, the
 * order in which files were met.
 *
 * At most max(OPEN_FILES_MIN, slots of the fleet) files are begun and not finished at a time: that keeps every slot
 * busy and leaves few half-done uploads behind after a crash.
 */
#include "producer/planner.h"
#include "pure/check.h"

#define OPEN_FILES_MIN 4u
#define JOB_COST 200u /* bytes of a job in an OFFER beside its texts, at most */

bool jobs_is_current(const struct file *f, const struct ref *ref) {
    if (ref->kind == JOB_ABORT)
        return f->state == FILE_CLEAR && id_equal(&ref->upload, &f->superseded);
    if (!id_equal(&ref->upload, &f->upload) || id_is_zero(&f->upload))
        return false;
    switch (f->state) {
    case FILE_CHECK:
        return ref->kind == JOB_HEAD;
    case FILE_BEGIN:
        return ref->kind == JOB_BEGIN;
    case FILE_CHUNKS:
        return ref->kind == JOB_CHUNK && ref->chunk < f->shape.chunks && !file_chunk_is_done(f, ref->chunk);
    case FILE_FINISH:
        return ref->kind == JOB_FINISH;
    case FILE_PUT:
        return ref->kind == JOB_PUT;
    case FILE_PLAN:
    case FILE_VERIFY:
    case FILE_CLEAR:
        break;
    }
    return false;
}

int jobs_take(struct core *c, struct file *f, const struct ref *ref, struct offer **out) {
    struct ref key = *ref;
    CHECK(jobs_is_current(f, ref));
    if (key.kind != JOB_CHUNK)
        key.chunk = 0;
    *out = offers_find(&c->offers, &key);
    if (*out)
        return 0;
    uint64_t bytes = key.kind == JOB_CHUNK ? geometry_length(&f->shape, key.chunk)
                     : key.kind == JOB_PUT ? f->id.size
                                           : 0;
    int err = offers_add(&c->offers, &key, f, bytes, out);
    if (err)
        return err;
    if (key.kind == JOB_CHUNK)
        file_chunk_take(f, key.chunk);
    else
        f->taken_single = true;
    return 0;
}

void jobs_give_back(struct core *c, struct offer *offer) {
    if (offer->ref.kind == JOB_CHUNK)
        file_chunk_give_back(offer->file, offer->ref.chunk);
    else
        offer->file->taken_single = false;
    offers_remove(&c->offers, offer);
}

/* The state's one job, when it has one. */
static bool single_ref(const struct file *f, struct ref *ref) {
    static const enum job_kind kinds[] = {
        [FILE_CHECK] = JOB_HEAD,    [FILE_CLEAR] = JOB_ABORT, [FILE_BEGIN] = JOB_BEGIN,
        [FILE_FINISH] = JOB_FINISH, [FILE_PUT] = JOB_PUT,
    };
    if (f->state == FILE_PLAN || f->state == FILE_VERIFY || f->state == FILE_CHUNKS || f->taken_single)
        return false;
    if (f->state == FILE_CLEAR && !f->superseded_opened)
        return false; /* nothing at the destination to abort */
    *ref = (struct ref){.kind = kinds[f->state], .upload = f->state == FILE_CLEAR ? f->superseded : f->upload};
    return true;
}

static bool is_begun(const struct file *f) {
    return f->state == FILE_CHUNKS || f->state == FILE_FINISH || (f->state == FILE_BEGIN && f->taken_single);
}

static int refill_urgent(struct core *c, size_t *room) {
    size_t begun = 0, begun_max = c->fleet.slots > OPEN_FILES_MIN ? c->fleet.slots : OPEN_FILES_MIN;
    struct offer *offer;
    struct ref ref;
    int err = 0;
    for (const struct file *f = c->files.first; f; f = f->next)
        begun += is_begun(f);
    for (struct file *f = c->files.first; f && err == 0 && *room > 0; f = f->next) {
        if (f->state == FILE_PUT || !single_ref(f, &ref) || (f->state == FILE_BEGIN && begun >= begun_max))
            continue;
        err = jobs_take(c, f, &ref, &offer);
        begun += f->state == FILE_BEGIN;
        --*room;
    }
    return err;
}

static int refill_bulk(struct core *c, size_t *room) {
    struct offer *offer;
    struct ref ref;
    int err = 0;
    for (struct file *f = c->files.first; f && err == 0 && *room > 0; f = f->next) {
        if (f->state == FILE_PUT && single_ref(f, &ref)) {
            err = jobs_take(c, f, &ref, &offer);
            --*room;
        }
        ref = (struct ref){.kind = JOB_CHUNK, .upload = f->upload};
        while (f->state == FILE_CHUNKS && err == 0 && *room > 0 && file_next_chunk(f, &ref.chunk)) {
            err = jobs_take(c, f, &ref, &offer);
            --*room;
        }
    }
    return err;
}

int jobs_refill(struct core *c, uint64_t now_ms) {
    c->offers.last_ones = c->ran_out = false;
    if (c->draining)
        return 0;
    offers_collect_due(&c->offers, now_ms, c->fleet.free > 0);
    size_t room = offers_room(&c->offers, &c->fleet, now_ms);
    int err = room > 0 ? refill_urgent(c, &room) : 0;
    if (err == 0 && room > 0)
        err = refill_bulk(c, &room);
    c->offers.last_ones = c->ran_out = err == 0 && room > 0;
    return err == ERR_LIMIT ? 0 : err; /* the table is full: later */
}

static size_t job_cost(const struct core *c, const struct file *f) {
    return JOB_COST + strlen(f->path) + strlen(f->dest) + strlen(c->source_name) + strlen(c->endpoint) +
           strlen(c->region) + (f->handle ? strlen(f->handle) : 0) +
           (f->superseded_handle ? strlen(f->superseded_handle) : 0);
}

/* Chunks and begun files spread over uploaders, one at a time where places are few: who serves several producers takes
 * a message of each in turn. Puts travel in bundles, cut so that every uploader gets some. */
static size_t jobs_per_message(const struct core *c, enum job_kind kind) {
    size_t uploaders = c->fleet.uploaders > 0 ? c->fleet.uploaders : 1;
    if (kind != JOB_PUT) {
        size_t each = c->fleet.share / uploaders;
        return each < 1 ? 1 : each < OFFER_CHUNKS ? each : OFFER_CHUNKS;
    }
    size_t each = (c->offers.ready_new + uploaders - 1) / uploaders;
    return each > OFFER_CHUNKS ? each : OFFER_CHUNKS;
}

size_t jobs_pick(const struct core *c, struct offer **picked, size_t max) {
    size_t count = 0, bytes = 0;
    for (int q = QUEUE_URGENT; q < QUEUE_COUNT && count == 0 && !c->draining; q++) {
        struct offer *offer = c->offers.first[q];
        size_t most = offer ? jobs_per_message(c, offer->ref.kind) : 0;
        if (most > max)
            most = max;
        for (; offer && count < most; offer = offer->next) {
            bytes += job_cost(c, offer->file);
            if (count > 0 &&
                (bytes > PROTO_OFFER_MAX - JOB_COST || (q == QUEUE_BULK && offer->ref.kind != picked[0]->ref.kind)))
                break;
            picked[count++] = offer;
        }
    }
    return count;
}

unsigned jobs_copies(const struct core *c, const struct offer *offer) {
    uint64_t wanted = (uint64_t)offer->times + (offer->refused > 0) + 1;
    unsigned copies = wanted < OFFER_COPIES_MAX ? (unsigned)wanted : OFFER_COPIES_MAX;
    return copies < c->fleet.uploaders ? copies : c->fleet.uploaders;
}

void jobs_build(const struct core *c, const struct offer *offer, struct job *job) {
    const struct file *f = offer->file;
    const struct geometry *shape = f->done ? &f->shape : &f->wish;
    const char *handle = offer->ref.kind == JOB_ABORT ? f->superseded_handle : f->handle;
    *job = (struct job){
        .ref = offer->ref,
        .length = f->id.size,
        .source = {.name = slice_of(c->source_name),
                   .path = slice_of(f->path),
                   .file = f->id,
                   .boot = slice_of(boot_id())},
        .target = {.dest = slice_of(f->dest), .endpoint = slice_of(c->endpoint), .region = slice_of(c->region)},
        .handle = slice_of(handle),
        .checksum = f->checksum,
        .chunk_size = shape->chunk_size,
        .chunks = shape->chunks,
        .integrity = c->integrity,
    };
    if (offer->ref.kind == JOB_CHUNK) {
        job->offset = geometry_offset(&f->shape, offer->ref.chunk);
        job->length = geometry_length(&f->shape, offer->ref.chunk);
    } else if (offer->ref.kind != JOB_PUT)
        job->length = 0;
}

static void note_start(struct core *c, struct file *f, enum job_kind kind, uint64_t now_ms) {
    struct producer_file_view view;
    if (f->started_ms != 0 || kind == JOB_HEAD || kind == JOB_ABORT)
        return;
    f->started_ms = now_ms;
    core_view(f, &view);
    if (c->events.file_started)
        c->events.file_started(c->events.arg, &view);
}

void jobs_sent(struct core *c, struct offer *const *picked, size_t count, uint64_t now_ms) {
    for (size_t i = 0; i < count; i++) {
        note_start(c, picked[i]->file, picked[i]->ref.kind, now_ms);
        offers_sent(&c->offers, picked[i], now_ms);
    }
}
