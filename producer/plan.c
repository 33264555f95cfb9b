/*
 * PLAN and PLANNED: which files are asked for, and what the consumer's answer means for each.
 *
 * A file in FILE_PLAN is asked for from plan_due_ms on, and again every PLAN_AGAIN_MS until an answer to the last
 * asking names it; an answer to an earlier asking is stale and ignored. PLANNED answers a prefix of what was asked:
 * the rest is asked again at once. A file in FILE_CLEAR is asked for again from time to time: the record of an upload
 * that was another producer's need not come our way. One that was never opened has nothing to abort; the consumer ends
 * it by itself.
 */
#include "producer/planner.h"
#include <stdlib.h>

static void describe(const struct core *c, const struct file *f, struct plan_file *out) {
    *out = (struct plan_file){
        .index = f->index,
        .upload = f->refusal ? f->refusal_id : f->upload,
        .error = slice_of(f->refusal),
        .source = {.name = slice_of(c->source_name),
                   .path = slice_of(f->path),
                   .file = f->id,
                   .boot = slice_of(boot_id())},
        .target = {.dest = slice_of(f->dest), .endpoint = slice_of(c->endpoint), .region = slice_of(c->region)},
        .chunk_size = f->wish.chunk_size,
        .chunks = f->wish.chunks,
        .inodes = f->inodes,
        .verified = f->verified,
        .crc = f->verified ? f->record_crc : 0,
        .flags = (f->put ? PLAN_PUT : 0u) | (f->forced ? PLAN_FORCE : 0u) | (f->missing ? PLAN_MISSING : 0u),
        .resize = c->resize,
        .drop = f->drop,
    };
}

static size_t plan_cost(const struct core *c, const struct file *f) {
    return strlen(f->path) + strlen(f->dest) + strlen(c->endpoint) + strlen(c->region) + strlen(c->source_name) + 256;
}

static bool is_due(const struct file *f, uint64_t now_ms) {
    if (f->state != FILE_PLAN || now_ms < f->plan_due_ms)
        return false;
    return f->plan_number == 0 || now_ms >= f->plan_asked_ms + PLAN_AGAIN_MS;
}

size_t plan_pick(struct core *c, uint64_t now_ms, struct plan_file *list, struct file **asked, size_t max) {
    size_t count = 0, bytes = 0;
    for (struct file *f = c->files.first, *next; f && count < max; f = next) {
        next = f->next;
        if (f->dropping && now_ms >= f->plan_due_ms) {
            core_drop_ended(c, f, "it was not removed in time", now_ms);
            continue;
        }
        if (f->state == FILE_CLEAR && now_ms >= f->plan_due_ms)
            core_plan_again(c, f, now_ms);
        if (!is_due(f, now_ms))
            continue;
        bytes += plan_cost(c, f);
        if (count > 0 && bytes > PLAN_BYTES_MAX)
            break;
        describe(c, f, &list[count]);
        asked[count++] = f;
    }
    return count;
}

void plan_asked(struct file *const *asked, size_t count, uint64_t number, uint64_t now_ms) {
    for (size_t i = 0; i < count; i++) {
        asked[i]->plan_number = number;
        asked[i]->plan_asked_ms = now_ms;
    }
}

uint64_t plan_deadline(const struct core *c) {
    uint64_t deadline = UINT64_MAX;
    for (const struct file *f = c->files.first; f; f = f->next) {
        if (f->state != FILE_PLAN && f->state != FILE_CLEAR)
            continue;
        uint64_t due = f->plan_number == 0 ? f->plan_due_ms : f->plan_asked_ms + PLAN_AGAIN_MS;
        deadline = due < deadline ? due : deadline;
    }
    return deadline;
}

/* --- PLANNED --- */

static int take_over_leases(struct core *c, struct file *f, const struct planned_file *p, uint64_t now_ms) {
    for (size_t i = 0; i < p->lease_count; i++) {
        struct offer *offer;
        if (!jobs_is_current(f, &p->leases[i].ref))
            continue;
        int err = jobs_take(c, f, &p->leases[i].ref, &offer);
        if (err == ERR_LIMIT)
            return 0; /* it will be offered, and denied as held */
        if (err)
            return err;
        offers_lease_until(&c->offers, offer, now_ms + p->leases[i].remaining_ms);
    }
    return 0;
}

/* Something begun: its geometry and what is done come from the journal. */
static int adopt_open(struct core *c, struct file *f, const struct planned_file *p, uint64_t now_ms) {
    struct geometry shape = {.size = f->id.size, .chunk_size = p->chunk_size, .chunks = p->chunks};
    bool known = f->done != NULL;
    uint64_t before = f->done_bytes;
    if (p->handle.len == 0) { /* no uploader would take its jobs */
        core_file_failed(c, f, FAIL_INTEGRITY,
                         "the consumer names no handle of its upload; remove it with "
                         "'chunklift journal forget --unfinished'");
        return 0;
    }
    int err = file_set_handle(f, p->handle);
    if (err == 0)
        err = file_set_shape(&c->files, f, &shape, p->done);
    if (err == ERR_INVALID) {
        core_file_failed(c, f, FAIL_INTEGRITY,
                         "what the journal knows of its upload does not fit the file; remove it with "
                         "'chunklift journal forget --unfinished'");
        return 0;
    }
    if (err)
        return err;
    c->counts.bytes_done += f->done_bytes - before;
    if (known && f->done_bytes > before)
        c->counts.bytes_sent_now += f->done_bytes - before;
    f->resumed |= !known && f->chunks_done > 0;
    f->checksum = p->checksum;
    f->state = file_is_complete(f) ? FILE_FINISH : FILE_CHUNKS;
    return take_over_leases(c, f, p, now_ms);
}

/* The geometry a begin will be offered with: the consumer's word, where it gives one. */
static void adopt_wish(struct core *c, struct file *f, const struct planned_file *p) {
    struct geometry wish = {.size = f->id.size, .chunk_size = p->chunk_size, .chunks = p->chunks};
    if (wish.chunks > 0 && geometry_is_valid(&wish))
        files_set_identity(&c->files, f, &f->id, &wish);
}

/* Nothing usable at the destination yet. */
static int adopt_new(struct core *c, struct file *f, const struct planned_file *p, uint64_t now_ms) {
    c->counts.bytes_done -= f->done_bytes;
    file_clear_shape(&c->files, f);
    adopt_wish(c, f, p);
    f->state = f->put ? FILE_PUT : FILE_BEGIN;
    if (!id_is_zero(&p->superseded)) {
        free(f->superseded_handle);
        f->superseded_handle = NULL;
        if (p->superseded_handle.len > 0 && !(f->superseded_handle = slice_dup(p->superseded_handle)))
            return ERR_NOMEM;
        f->superseded = p->superseded;
        f->superseded_opened = p->superseded_opened;
        f->state = FILE_CLEAR;
        f->plan_due_ms = now_ms + (f->superseded_opened ? CLEAR_RECHECK_MS : CLEAR_UNOPENED_MS);
    }
    return take_over_leases(c, f, p, now_ms);
}

/* Its inode number or ctime is not the recorded one. */
static void compare_with_record(struct core *c, struct file *f, const struct planned_file *p, uint64_t now_ms) {
    f->record_differs = p->differs;
    f->record_crc = p->crc;
    f->verified = false;
    f->state = FILE_VERIFY;
    bool unstable = mounts_look(&c->mounts, f->id.dev, f->path) == INODES_UNSTABLE;
    if (p->differs != DIFFERS_INODE || !unstable)
        return;
    core_found_unstable(c, f); /* known since it was planned: nothing to read */
    core_plan_again(c, f, now_ms);
}

static void adopt_finished(struct core *c, struct file *f, const struct planned_file *p, uint64_t now_ms) {
    bool own = !id_is_zero(&f->upload) && id_equal(&f->upload, &p->upload);
    if (own && !f->checking) { /* its finish or put record was missed */
        c->counts.bytes_sent_now += f->id.size - f->done_bytes;
        core_file_done(c, f, now_ms);
    } else if (c->force && !f->forced) {
        core_start_over(c, f, now_ms);
        f->forced = true;
    } else if (p->differs) {
        compare_with_record(c, f, p, now_ms);
    } else if (c->sources.scheme == DEST_FILE) {
        files_set_upload(&c->files, f, &p->upload);
        f->checking = true;
        f->state = FILE_CHECK;
    } else
        core_file_skipped(c, f);
}

/* An upload that is only to be aborted. */
static int adopt_drop(struct core *c, struct file *f, const struct planned_file *p) {
    if (p->state == PLANNED_REFUSED) {
        core_file_failed(c, f, FAIL_REQUEST, "%.*s", (int)p->error.len, p->error.len ? p->error.ptr : "");
        return 0;
    }
    if (id_is_zero(&p->superseded)) { /* it left nothing, or ended meanwhile */
        core_file_skipped(c, f);
        return 0;
    }
    free(f->superseded_handle);
    f->superseded_handle = NULL;
    if (p->superseded_handle.len > 0 && !(f->superseded_handle = slice_dup(p->superseded_handle)))
        return ERR_NOMEM;
    f->superseded = p->superseded;
    f->superseded_opened = f->dropping = true;
    f->state = FILE_CLEAR;
    f->plan_due_ms = UINT64_MAX; /* --retry-for is its uploader's */
    return 0;
}

static int adopt(struct core *c, struct file *f, const struct planned_file *p, uint64_t now_ms) {
    f->plan_number = 0;
    if (f->drop)
        return adopt_drop(c, f, p);
    if (f->refusal) {
        core_refusal_recorded(c, f);
        return 0;
    }
    if (p->state == PLANNED_REFUSED) {
        core_file_failed(c, f, FAIL_REQUEST, "%.*s", (int)p->error.len, p->error.len ? p->error.ptr : "");
        return 0;
    }
    if (p->state == PLANNED_SUPERSEDED) {
        core_file_failed(c, f, FAIL_SUPERSEDED, "another source took its destination; re-run to upload it again");
        return 0;
    }
    if (id_is_zero(&p->upload)) {
        f->plan_due_ms = now_ms + PLAN_AGAIN_MS;
        return 0;
    }
    if (p->state == PLANNED_DONE) {
        adopt_finished(c, f, p, now_ms);
        return 0;
    }
    files_set_upload(&c->files, f, &p->upload);
    f->forced = f->missing = f->checking = false; /* they asked for this id */
    if (p->state == PLANNED_OPEN)
        return adopt_open(c, f, p, now_ms);
    return adopt_new(c, f, p, now_ms);
}

int plan_apply(struct core *c, uint64_t now_ms, uint64_t number, const struct msg_planned *m) {
    struct file *f = c->files.first;
    for (size_t i = 0; i < m->file_count; i++) {
        const struct planned_file *p = &m->files[i];
        if (!f || f->index > p->index)
            f = c->files.first;
        while (f && f->index < p->index)
            f = f->next;
        if (!f || f->index != p->index || f->state != FILE_PLAN || f->plan_number != number)
            continue;
        struct file *next = f->next;
        int err = adopt(c, f, p, now_ms);
        if (err)
            return err;
        f = next;
    }
    if (m->file_count > 0) /* an answer to a prefix: ask for the rest now */
        for (f = c->files.first; f; f = f->next)
            if (f->plan_number == number)
                f->plan_number = 0;
    return 0;
}
