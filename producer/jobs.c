/*
 * From files to jobs to OFFERs. A job is created when the window has room for it, never in advance: no list of all
 * chunks exists. Order: begin, finish and abort before chunks, puts and questions, so that files leave memory; within each
 * group, the order in which files were found.
 *
 * At most max(BEGUN_FILES_MIN, slots of the fleet) files are begun and unfinished at a time. That keeps every slot busy
 * and leaves few incomplete uploads after a crash.
 */
#include "producer/planner.h"
#include "pure/arith.h"
#include "pure/check.h"
#include <sys/param.h>

#define BEGUN_FILES_MIN 4u
#define JOB_COST 200u /* at most: bytes of a job in an OFFER, without its texts */

bool jobs_is_current(const struct file *f, const struct ref *ref) {
    if (ref->kind == JOB_ABORT)
        return f->state == FILE_CLEAR && id_equal(&ref->upload, &f->superseded);
    if (!id_equal(&ref->upload, &f->upload) || id_is_zero(&f->upload))
        return false;
    switch (f->state) {
    case FILE_CHECK:
        return ref->kind == JOB_STAT;
    case FILE_BEGIN:
        return ref->kind == JOB_BEGIN;
    case FILE_CHUNKS:
        return ref->kind == JOB_CHUNK && ref->chunk < MIN(f->geometry.chunks, f->available) &&
               !file_chunk_is_done(f, ref->chunk);
    case FILE_FINISH:
        return ref->kind == JOB_FINISH;
    case FILE_PUT:
        return ref->kind == JOB_PUT;
    case FILE_ASK:
        return ref->kind == f->asks;
    case FILE_READ:
        return ref->kind == JOB_READ && ref->chunk < f->geometry.chunks && !file_chunk_is_done(f, ref->chunk);
    case FILE_PLAN:
    case FILE_VERIFY:
    case FILE_CLEAR:
        break;
    }
    return false;
}

/* One of several jobs of its file. */
static bool jobs_kind_is_range(enum job_kind kind) {
    return kind == JOB_CHUNK || kind == JOB_READ;
}

int jobs_take(struct planner *p, struct file *f, const struct ref *ref, struct offer **out) {
    struct ref key = *ref;
    CHECK(jobs_is_current(f, ref));
    bool range = jobs_kind_is_range(key.kind);
    if (!range)
        key.chunk = 0;
    *out = offers_find(&p->offers, &key);
    if (*out)
        return 0;
    uint64_t bytes = range ? geometry_length(&f->geometry, key.chunk) : key.kind == JOB_PUT ? f->id.size : 0;
    int err = offers_add(&p->offers, &key, f, bytes, out);
    if (err)
        return err;
    if (range)
        file_chunk_take(f, key.chunk);
    else
        f->taken_single = true;
    return 0;
}

void jobs_give_back(struct planner *p, struct offer *offer) {
    if (jobs_kind_is_range(offer->ref.kind))
        file_chunk_give_back(offer->file, offer->ref.chunk);
    else
        offer->file->taken_single = false;
    offers_remove(&p->offers, offer);
}

/* The one job of the file's state. false: it has none, or that one is taken. */
static bool jobs_single_ref(const struct file *f, struct ref *ref) {
    static const enum job_kind kinds[] = {
        [FILE_CHECK] = JOB_STAT,    [FILE_CLEAR] = JOB_ABORT, [FILE_BEGIN] = JOB_BEGIN,
        [FILE_FINISH] = JOB_FINISH, [FILE_PUT] = JOB_PUT,
    };
    if (f->state == FILE_PLAN || f->state == FILE_VERIFY || f->state == FILE_CHUNKS || f->state == FILE_READ ||
        f->taken_single)
        return false;
    if (f->state == FILE_CLEAR && !f->superseded_opened)
        return false; /* the destination has nothing to abort */
    enum job_kind kind = f->state == FILE_ASK ? f->asks : kinds[f->state];
    *ref = (struct ref){.kind = kind, .upload = f->state == FILE_CLEAR ? f->superseded : f->upload};
    return true;
}

static bool file_is_begun(const struct file *f) {
    return f->state == FILE_CHUNKS || f->state == FILE_FINISH || (f->state == FILE_BEGIN && f->taken_single);
}

static int jobs_refill_urgent(struct planner *p, size_t *room) {
    size_t begun = 0, begun_max = MAX(p->fleet.slots, BEGUN_FILES_MIN);
    struct offer *offer;
    struct ref ref;
    int err = 0;
    if (*room == 0)
        return 0; /* without a look at all files */
    for (const struct file *f = p->files.first; f; f = f->next)
        begun += file_is_begun(f);
    for (struct file *f = p->files.first; f && !err && *room > 0; f = f->next) {
        if (f->state == FILE_PUT || f->state == FILE_ASK || !jobs_single_ref(f, &ref) ||
            (f->state == FILE_BEGIN && begun >= begun_max))
            continue;
        err = jobs_take(p, f, &ref, &offer);
        begun += f->state == FILE_BEGIN;
        --*room;
    }
    return err;
}

static int jobs_refill_bulk(struct planner *p, size_t *room) {
    struct offer *offer;
    struct ref ref;
    int err = 0;
    for (struct file *f = p->files.first; f && !err && *room > 0; f = f->next) {
        if ((f->state == FILE_PUT || f->state == FILE_ASK) && jobs_single_ref(f, &ref)) {
            err = jobs_take(p, f, &ref, &offer);
            --*room;
        }
        ref = (struct ref){.kind = f->item ? JOB_READ : JOB_CHUNK, .upload = f->upload};
        while ((f->state == FILE_CHUNKS || f->state == FILE_READ) && !err && *room > 0 &&
               file_next_chunk(f, &ref.chunk)) {
            err = jobs_take(p, f, &ref, &offer);
            --*room;
        }
    }
    return err;
}

int jobs_refill(struct planner *p, uint64_t now_ms) {
    p->offers.last_ones = p->nothing_left = false;
    if (p->draining)
        return 0;
    offers_collect_due(&p->offers, now_ms, p->fleet.free > 0);
    size_t room = offers_room(&p->offers, &p->fleet, now_ms);
    int err = jobs_refill_urgent(p, &room);
    if (!err)
        err = jobs_refill_bulk(p, &room);
    p->offers.last_ones = p->nothing_left = room > 0;
    return err;
}

static size_t jobs_cost_of_keys(const struct file *f) {
    size_t bytes = 0;
    for (size_t i = 0; i < f->key_count; i++)
        bytes += question_key_bytes(f->keys[i].len, false);
    return bytes;
}

static size_t jobs_cost(const struct planner *p, const struct file *f) {
    return JOB_COST + jobs_cost_of_keys(f) + object_properties_type(&p->properties, f->path).len + strlen(f->path) +
           strlen(f->dest) + strlen(p->source_name) + strlen(p->endpoint) + strlen(p->region) +
           (f->handle ? strlen(f->handle) : 0) + (f->superseded_handle ? strlen(f->superseded_handle) : 0) +
           (f->marker ? strlen(f->marker) : 0);
}

/* Chunks and begun files are spread over the uploaders, one job per message while slots are scarce: an uploader that
 * serves several producers takes one message of each in turn. Puts are sent in bundles, sized so that every uploader
 * gets some. */
static size_t jobs_per_message(const struct planner *p, enum job_kind kind) {
    size_t uploaders = MAX(p->fleet.uploaders, 1);
    if (kind != JOB_PUT && kind != JOB_HEAD && kind != JOB_STAT && kind != JOB_DISCARD) {
        size_t each = p->fleet.share / uploaders;
        return clamp_u64(each, 1, OFFER_CHUNKS);
    }
    size_t each = (p->offers.ready_new + uploaders - 1) / uploaders;
    return MAX(each, OFFER_CHUNKS);
}

size_t jobs_pick(const struct planner *p, struct offer **picked, size_t max) {
    size_t count = 0, bytes = p->properties.bytes;
    enum offer_queue q = p->offers.first[QUEUE_URGENT] ? QUEUE_URGENT : QUEUE_BULK;
    struct offer *offer = p->draining ? NULL : p->offers.first[q];
    size_t most = offer ? MIN(jobs_per_message(p, offer->ref.kind), max) : 0;
    for (; offer && count < most; offer = offer->next) {
        bytes += jobs_cost(p, offer->file);
        if (count > 0 &&
            (bytes > PROTO_OFFER_MAX - JOB_COST || (q == QUEUE_BULK && offer->ref.kind != picked[0]->ref.kind)))
            break;
        picked[count++] = offer;
    }
    return count;
}

unsigned jobs_copies(const struct planner *p, const struct offer *offer) {
    uint64_t wanted = (uint64_t)offer->times + (offer->refused > 0) + 1;
    unsigned copies = (unsigned)MIN(wanted, OFFER_COPIES_MAX);
    return MIN(copies, p->fleet.uploaders);
}

static void jobs_build_question(const struct planner *p, const struct offer *offer, struct job *job) {
    const struct file *f = offer->file;
    *job = (struct job){.ref = offer->ref,
                        .target = planner_target(p, f),
                        .handle = slice_of(f->handle),
                        .marker = slice_of(f->marker),
                        .keys = f->keys,
                        .key_count = f->key_count};
    if (offer->ref.kind == JOB_READ) {
        job->offset = geometry_offset(&f->geometry, offer->ref.chunk);
        job->length = geometry_length(&f->geometry, offer->ref.chunk);
    }
}

void jobs_build(const struct planner *p, const struct offer *offer, struct job *job) {
    const struct file *f = offer->file;
    const struct geometry *geometry = f->stream ? file_stream_geometry(f)
                                      : f->done ? &f->geometry
                                                : &f->wanted_geometry;
    const char *handle = offer->ref.kind == JOB_ABORT ? f->superseded_handle : f->handle;
    if (job_kind_asks(offer->ref.kind)) {
        jobs_build_question(p, offer, job);
        return;
    }
    *job = (struct job){
        .ref = offer->ref,
        .length = f->id.size,
        .source = planner_source(p, f),
        .target = planner_target(p, f),
        .handle = slice_of(handle),
        .checksum = f->checksum,
        .chunk_size = geometry->chunk_size,
        .chunks = geometry->chunks,
        .grow = geometry->grow,
        .integrity = p->integrity,
    };
    job->if_none_match = p->if_none_match && offer->ref.kind != JOB_CHUNK;
    if (offer->ref.kind == JOB_BEGIN || offer->ref.kind == JOB_PUT)
        job->content_type = object_properties_type(&p->properties, file_typed_name(f));
    if (offer->ref.kind == JOB_CHUNK) {
        job->offset = geometry_offset(&f->geometry, offer->ref.chunk);
        job->length = geometry_length(&f->geometry, offer->ref.chunk);
    } else if (offer->ref.kind != JOB_PUT)
        job->length = 0;
}

static void jobs_note_start(struct planner *p, struct file *f, enum job_kind kind, uint64_t now_ms) {
    struct producer_file_view view;
    if (f->started_ms != 0 || kind == JOB_STAT || kind == JOB_ABORT || job_kind_asks(kind))
        return;
    f->started_ms = now_ms;
    planner_view_file(f, &view);
    if (p->events.file_started)
        p->events.file_started(p->events.arg, &view);
}

void jobs_sent(struct planner *p, struct offer *const *picked, size_t count, uint64_t now_ms) {
    for (size_t i = 0; i < count; i++) {
        jobs_note_start(p, picked[i]->file, picked[i]->ref.kind, now_ms);
        offers_sent(&p->offers, picked[i], now_ms);
    }
}
