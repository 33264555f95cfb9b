/*
 * PLAN and PLANNED: which files are requested, and the meaning of the consumer's answer for each.
 *
 * A file in FILE_PLAN is requested from plan_due_ms on, and every PLAN_AGAIN_MS until an answer to the last request
 * names it. An answer to an earlier request is stale and ignored. PLANNED answers a prefix of the request; the rest is
 * requested again at once. A file in FILE_CLEAR is requested again from time to time, because the record of another
 * producer's upload is not sent to this one. An upload that was never opened has nothing to abort; the consumer ends it.
 */
#include "producer/planner.h"
#include "pure/arith.h"
#include <stdlib.h>
#include <sys/param.h>

/* ERR_NOMEM, as object_properties_digest. */
static int plan_describe(struct planner *p, const struct file *f, struct plan_file *out) {
    const struct geometry *wanted = &f->wanted_geometry;
    *out = (struct plan_file){
        .index = f->index,
        .upload = f->refusal               ? f->refusal_id
                  : f->found || f->removal ? f->found_upload
                                           : f->upload,
        .error = slice_of(f->refusal),
        .source = planner_source(p, f),
        .target = planner_target(p, f),
        .chunk_size = wanted->chunk_size,
        .chunks = wanted->chunks,
        .grow = wanted->grow,
        .inodes = f->inodes,
        .verified = f->verified,
        .crc = f->verified ? f->record_crc : 0,
        .flags = (f->put ? PLAN_PUT : 0u) | (f->forced ? PLAN_FORCE : 0u) | (f->missing ? PLAN_MISSING : 0u),
        .resize = p->resize,
        .drop = f->drop,
        .ask = p->dry_run != DRY_RUN_NONE,
        .compare = p->compare,
        .check = p->check_dest && p->sources.scheme == DEST_S3,
        .found = f->found,
        .read = f->found_by_read,
        .removal = f->removal,
    };
    if (f->open_ended) /* as it was planned first: the size is part of the identity */
        out->source.file.size = 0;
    return object_properties_digest(&p->properties, file_typed_name(f), &out->properties);
}

static size_t plan_cost(const struct planner *p, const struct file *f) {
    return strlen(f->path) + strlen(f->dest) + strlen(p->endpoint) + strlen(p->region) + strlen(p->source_name) + 256;
}

static bool plan_is_due(const struct file *f, uint64_t now_ms) {
    if (f->state != FILE_PLAN || now_ms < f->plan_due_ms)
        return false;
    return f->plan_number == 0 || now_ms >= f->plan_sent_ms + PLAN_AGAIN_MS;
}

size_t plan_pick(struct planner *p, uint64_t now_ms, struct plan_file *list, struct file **requested, size_t max) {
    size_t count = 0, bytes = 0;
    for (struct file *f = p->files.first, *next; f && count < max; f = next) {
        next = f->next;
        if (f->dropping && now_ms >= f->plan_due_ms) {
            planner_drop_ended(p, f, "it was not aborted in time", now_ms);
            continue;
        }
        if (f->state == FILE_CLEAR && now_ms >= f->plan_due_ms)
            planner_file_replan(p, f, now_ms);
        if (!plan_is_due(f, now_ms))
            continue;
        bytes += plan_cost(p, f);
        if (count > 0 && bytes > PLAN_BYTES_MAX)
            break;
        if (plan_describe(p, f, &list[count]) == 0) /* else it is asked for again in the next turn */
            requested[count++] = f;
    }
    return count;
}

void plan_note_sent(struct file *const *requested, size_t count, uint64_t number, uint64_t now_ms) {
    for (size_t i = 0; i < count; i++) {
        requested[i]->plan_number = number;
        requested[i]->plan_sent_ms = now_ms;
    }
}

uint64_t plan_deadline(const struct planner *p) {
    uint64_t deadline = UINT64_MAX;
    for (const struct file *f = p->files.first; f; f = f->next) {
        if (f->state != FILE_PLAN && f->state != FILE_CLEAR)
            continue;
        uint64_t due = f->plan_number == 0 ? f->plan_due_ms : f->plan_sent_ms + PLAN_AGAIN_MS;
        deadline = MIN(due, deadline);
    }
    return deadline;
}

/* --- PLANNED --- */

static int plan_adopt_leases(struct planner *p, struct file *f, const struct planned_file *answer, uint64_t now_ms) {
    for (size_t i = 0; i < answer->lease_count; i++) {
        struct offer *offer;
        if (!jobs_is_current(f, &answer->leases[i].ref))
            continue;
        int err = jobs_take(p, f, &answer->leases[i].ref, &offer);
        if (err == ERR_LIMIT)
            return 0; /* the table is full: the job will be offered, and denied as leased */
        if (err)
            return err;
        offers_lease_until(&p->offers, offer, now_ms + answer->leases[i].remaining_ms);
    }
    return 0;
}

/* A chunk is to be sent again, and its bytes are gone: it was recorded, and the destination lost it. */
static bool plan_lacks_bytes(const struct file *f) {
    uint32_t end = f->stream ? MIN(f->geometry.chunks, f->available) : 0;
    for (uint32_t i = 0; i < end; i++)
        if (!file_chunk_is_done(f, i) && !stream_bytes(f->stream, geometry_offset(&f->geometry, i), 1))
            return true;
    return false;
}

/* A begun upload: geometry and done chunks come from the journal. Without a handle no uploader would accept its jobs. */
static int plan_adopt_open(struct planner *p, struct file *f, const struct planned_file *answer, uint64_t now_ms) {
    struct geometry geometry = {.size = f->id.size, .chunk_size = answer->chunk_size, .chunks = answer->chunks};
    if (f->stream)
        geometry = *file_stream_geometry(f);
    bool known = f->done != NULL;
    uint64_t before = f->done_bytes;
    if (answer->handle.len == 0) {
        planner_file_failed(p, f, FAIL_INTEGRITY,
                            "the consumer has no handle of its upload; remove it with "
                            "'chunklift journal forget --unfinished'");
        return 0;
    }
    int err = file_set_handle(f, answer->handle);
    if (!err)
        err = file_set_geometry(&p->files, f, &geometry, answer->done);
    if (err == ERR_INVALID) {
        planner_file_failed(p, f, FAIL_INTEGRITY,
                            "the journal's records of its upload do not fit the file; remove it with "
                            "'chunklift journal forget --unfinished'");
        return 0;
    }
    if (err)
        return err;
    if (plan_lacks_bytes(f))
        return planner_stream_failed(p, f, "the destination lost a part of it, which cannot be read again", now_ms);
    p->stats.bytes_done += f->done_bytes - before;
    if (known)
        p->stats.bytes_sent_now += sub_or_zero(f->done_bytes, before);
    f->resumed |= !known && f->chunks_done > 0;
    f->checksum = answer->checksum;
    f->state = file_is_complete(f) ? FILE_FINISH : FILE_CHUNKS;
    return plan_adopt_leases(p, f, answer, now_ms);
}

/* The geometry for the begin job: the consumer's, if it gives one. */
static void plan_adopt_geometry(struct planner *p, struct file *f, const struct planned_file *answer) {
    struct geometry wanted = {.size = f->id.size, .chunk_size = answer->chunk_size, .chunks = answer->chunks};
    if (!f->stream && geometry_is_valid(&wanted))
        files_set_identity(&p->files, f, &f->id, &wanted);
}

/* The destination has nothing usable yet. */
static int plan_adopt_new(struct planner *p, struct file *f, const struct planned_file *answer, uint64_t now_ms) {
    if (f->stream && stream_has_released(f->stream)) {
        planner_file_failed(p, f, FAIL_INTEGRITY, "the journal lost its upload; run the command again");
        return 0;
    }
    p->stats.bytes_done -= f->done_bytes;
    file_clear_geometry(&p->files, f);
    plan_adopt_geometry(p, f, answer);
    f->state = f->put ? FILE_PUT : FILE_BEGIN;
    if (!id_is_zero(&answer->superseded)) {
        int err = file_set_superseded(f, &answer->superseded, answer->superseded_handle, answer->superseded_opened);
        if (err)
            return err;
        f->state = FILE_CLEAR;
        f->plan_due_ms = now_ms + (f->superseded_opened ? CLEAR_RECHECK_MS : CLEAR_UNOPENED_MS);
    }
    return plan_adopt_leases(p, f, answer, now_ms);
}

/* Its inode number or ctime differs from the record. On a file system that is known for that, an inode number needs no
 * comparison of the content. */
static void plan_adopt_differing(struct planner *p, struct file *f, const struct planned_file *answer,
                                 uint64_t now_ms) {
    f->record_differs = answer->differs;
    f->record_crc = answer->crc;
    f->verified = false;
    f->state = FILE_VERIFY;
    bool unstable = mounts_look(&p->mounts, f->id.dev, f->path) == INODES_UNSTABLE;
    if (answer->differs != DIFFERS_INODE || !unstable)
        return;
    planner_found_unstable(p, f);
    planner_file_replan(p, f, now_ms);
}

/* In a directory that is always done, because it costs little. */
static int plan_adopt_check(struct planner *p, struct file *f, const struct planned_file *answer) {
    int err = file_set_record_etag(f, answer->etag);
    if (err)
        return err;
    files_set_upload(&p->files, f, &answer->upload);
    f->checking = true;
    f->state = FILE_CHECK;
    return 0;
}

static int plan_adopt_finished(struct planner *p, struct file *f, const struct planned_file *answer, uint64_t now_ms) {
    bool own = !id_is_zero(&f->upload) && id_equal(&f->upload, &answer->upload);
    if (own && !f->checking) { /* the producer missed its finish or put record */
        p->stats.bytes_sent_now += f->id.size - f->done_bytes;
        planner_file_done(p, f, now_ms);
    } else if (p->force && !f->forced) {
        planner_file_restart(p, f, now_ms);
        f->forced = true;
    } else if (f->absent) { /* the journal shows an object that is gone */
        planner_file_restart(p, f, now_ms);
        f->missing = true;
    } else if (answer->differs) {
        plan_adopt_differing(p, f, answer, now_ms);
    } else if (p->sources.scheme == DEST_FILE || p->check_dest) {
        return plan_adopt_check(p, f, answer);
    } else {
        planner_file_skipped(p, f);
    }
    return 0;
}

/* An upload that is only to be aborted. Its retry time is limited by the uploader's --retry-for. */
static int plan_adopt_drop(struct planner *p, struct file *f, const struct planned_file *answer, uint64_t now_ms) {
    if (id_is_zero(&answer->upload)) { /* another producer may still want it */
        f->plan_due_ms = now_ms + PLAN_AGAIN_MS;
        return 0;
    }
    if (id_is_zero(&answer->superseded)) { /* it left nothing, or has ended */
        planner_file_skipped(p, f);
        return 0;
    }
    int err = file_set_superseded(f, &answer->superseded, answer->superseded_handle, true);
    if (err)
        return err;
    f->dropping = true;
    f->state = FILE_CLEAR;
    f->plan_due_ms = UINT64_MAX;
    return 0;
}

/* Without an upload, the consumer wants to be asked again. One that does not know removals has planned a file: its answer
 * has another state, or another upload. */
static void plan_adopt_removal(struct planner *p, struct file *f, const struct planned_file *answer, uint64_t now_ms) {
    if (id_is_zero(&answer->upload))
        f->plan_due_ms = now_ms + PLAN_AGAIN_MS;
    else if (answer->state == PLANNED_DONE && id_equal(&answer->upload, &f->found_upload))
        inspect_end(p, f);
    else
        planner_file_failed(p, f, FAIL_REQUEST, "the consumer does not know removals; use programs of one version");
}

static int plan_adopt(struct planner *p, struct file *f, const struct planned_file *answer, uint64_t now_ms) {
    f->plan_number = 0;
    if (f->refusal) {
        planner_file_remove(p, f);
        return 0;
    }
    if (f->found && answer->state != PLANNED_REFUSED) {
        inspect_end(p, f);
        return 0;
    }
    if (answer->state == PLANNED_REFUSED) {
        planner_file_failed(p, f, FAIL_REQUEST, "%.*s", (int)answer->error.len,
                            answer->error.len ? answer->error.ptr : "");
        return 0;
    }
    if (f->removal) {
        plan_adopt_removal(p, f, answer, now_ms);
        return 0;
    }
    if (f->drop)
        return plan_adopt_drop(p, f, answer, now_ms);
    if (answer->state == PLANNED_SUPERSEDED) {
        planner_file_failed(p, f, FAIL_SUPERSEDED, "another source took its destination; re-run to upload it again");
        return 0;
    }
    bool asked = p->dry_run && answer->state == PLANNED_NEW; /* a new upload has no id then */
    if (id_is_zero(&answer->upload) && !asked) {
        f->plan_due_ms = now_ms + PLAN_AGAIN_MS;
        return 0;
    }
    if (answer->state == PLANNED_DONE)
        return plan_adopt_finished(p, f, answer, now_ms);
    files_set_upload(&p->files, f, &answer->upload);
    f->forced = f->missing = f->checking = false; /* they were the request for this id */
    if (answer->state == PLANNED_OPEN)
        return plan_adopt_open(p, f, answer, now_ms);
    return plan_adopt_new(p, f, answer, now_ms);
}

int plan_apply(struct planner *p, uint64_t now_ms, uint64_t number, const struct msg_planned *m) {
    struct file *f = p->files.first;
    for (size_t i = 0; i < m->file_count; i++) {
        const struct planned_file *answer = &m->files[i];
        if (!f || f->index > answer->index)
            f = p->files.first;
        while (f && f->index < answer->index)
            f = f->next;
        if (!f || f->index != answer->index || f->state != FILE_PLAN || f->plan_number != number)
            continue;
        struct file *next = f->next;
        int err = plan_adopt(p, f, answer, now_ms);
        if (err)
            return err;
        f = next;
    }
    if (m->file_count > 0) /* the answer covers a prefix: ask for the rest now */
        for (f = p->files.first; f; f = f->next)
            if (f->plan_number == number)
                f->plan_number = 0;
    if (p->dry_run)
        forecast_planned(p, now_ms);
    return 0;
}
