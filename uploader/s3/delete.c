/*
 * delete: removes the objects of a job.
 *
 * One DeleteObjects request names those whose keys every XML parser reads unchanged: a store that cut a
 * blank would delete another object. Each of the rest gets a DELETE. So does each object at a store
 * that refuses DeleteObjects, or whose answer cannot be read or names objects that were not asked
 * about. Requests of a job follow each other. In a bucket with versions they make delete markers.
 *
 * For each object, of an entry of DeleteResult or of a DELETE:
 *
 *   no error, NoSuchKey       it is gone
 *   an error that can pass    another attempt, with the objects that are left
 *   any other error           an entry of the listing
 *
 * An error of the whole request, and one of a DELETE that every object would get (keys that are
 * refused, no bucket), fails the job. So does the case that every object failed, first by an error
 * that another host may not get.
 */
#include "pure/array.h"
#include "pure/dest.h"
#include "system/log.h"
#include "uploader/http/xml.h"
#include "uploader/s3/integrity.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/request.h"

#define MANY_MIN 2 /* a single object gets a DELETE */

static void delete_next(struct s3_op *op);

static bool delete_found_nothing(const struct s3_error *e) {
    return strcmp(e->code, "NoSuchKey") == 0 || strcmp(e->code, "NoSuchVersion") == 0;
}

/* False: the operation ended. */
static bool delete_note_failure(struct s3_op *op, size_t i, const struct s3_error *e) {
    int err = task_key_failed(op->task, i, e->text);
    if (err) {
        s3_op_fail_err(op, err);
        return false;
    }
    if (op->keys_failed++ == 0)
        op->doubt = *e;
    return true;
}

static void delete_end(struct s3_op *op) {
    bool elsewhere = op->doubt.own != OWN_NO || op->doubt.class == FAIL_NO_BUCKET;
    if (op->keys_failed == op->task->job.key_count && elsewhere) {
        s3_op_fail_with(op, &op->doubt);
        return;
    }
    task_keys_report(op->task);
    s3_op_end(op, OUTCOME_DONE);
}

/* --- DeleteObjects --- */

/* Empty: XML may change the key, or it is none of this bucket, which delete_set_key finds. */
static struct slice delete_plain_key(const struct s3_op *op, size_t i) {
    struct dest d;
    bool plain = dest_parse(op->task->job.keys[i], &d) == 0 && slice_equal(d.bucket, op->url.bucket) &&
                 d.key.len <= S3_KEY_MAX && xml_text_is_plain(d.key);
    return plain ? d.key : (struct slice){NULL, 0};
}

/* Chooses the keys of the request; returns their number. */
static size_t delete_choose(struct s3_op *op) {
    size_t count = 0;
    for (size_t i = 0; i < op->task->job.key_count; i++) {
        if (!task_key_has_ended(op->task, i))
            op->asked[i] = delete_plain_key(op, i);
        count += op->asked[i].len > 0;
    }
    return count;
}

static int delete_add_body(struct s3_op *op) {
    int err = buf_add_text(&op->body, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; !err && i < op->task->job.key_count; i++) {
        if (op->asked[i].len == 0)
            continue;
        err = buf_add_text(&op->body, "<Object><Key>");
        if (!err)
            err = xml_escape_add(&op->body, op->asked[i]);
        if (!err)
            err = buf_add_text(&op->body, "</Key></Object>");
    }
    return err ? err : buf_add_text(&op->body, "</Delete>");
}

/* The store does not know DeleteObjects, or refuses this one. */
static bool delete_many_is_refused(const struct s3_error *e) {
    bool status = e->status == 400 || e->status == 404 || e->status == 405 || e->status == 501;
    return status && !e->transient && e->class == FAIL_REQUEST;
}

static void delete_note_unknown(struct s3_op *op, const struct s3_error *e) {
    struct s3_endpoint *endpoint = s3_op_endpoint(op);
    if (e->status != 405 && e->status != 501 && strcmp(e->code, "NotImplemented") != 0)
        return; /* perhaps it refuses only this one */
    endpoint->deletes_many = S3_NO;
    log_debug("%s does not know DeleteObjects; objects are deleted one by one",
              endpoint->url ? endpoint->url : "the endpoint");
}

static const struct s3_delete_failure *delete_find_failure(const struct s3_delete_result *result, struct slice key) {
    for (size_t i = 0; i < result->count; i++)
        if (slice_equal(buf_slice(&result->failures[i].key), key))
            return &result->failures[i];
    return NULL;
}

/* Every entry is about a key that was asked about. */
static bool delete_result_is_understood(const struct s3_op *op, const struct s3_delete_result *result) {
    for (size_t i = 0; i < result->count; i++) {
        struct slice key = buf_slice(&result->failures[i].key);
        size_t k = 0;
        while (k < op->task->job.key_count && (op->asked[k].len == 0 || !slice_equal(op->asked[k], key)))
            k++;
        if (k == op->task->job.key_count)
            return false;
    }
    return true;
}

/* The keys that were asked about end, except those with an error that can pass: *passing is the first
 * of these. False: the operation ended. */
static bool delete_take_result(struct s3_op *op, const struct s3_delete_result *result, struct s3_error *passing) {
    for (size_t i = 0; i < op->task->job.key_count; i++) {
        struct s3_error e = {0};
        if (op->asked[i].len == 0)
            continue;
        const struct s3_delete_failure *failure = delete_find_failure(result, op->asked[i]);
        if (failure)
            s3_error_from_entry(&failure->error, &e);
        if (!failure || delete_found_nothing(&e))
            task_key_gone(op->task, i);
        else if (e.transient && !passing->transient)
            *passing = e;
        else if (!e.transient && !delete_note_failure(op, i, &e))
            return false;
    }
    return true;
}

static void delete_on_many(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_delete_result result = {0};
    struct s3_error passing = {0};
    if (e && !delete_many_is_refused(e)) {
        s3_op_fail_with(op, e);
        return;
    }
    if (e)
        delete_note_unknown(op, e);
    bool known = !e && s3_delete_result_parse(r->body, &result) == 0 && delete_result_is_understood(op, &result);
    bool goes_on = !known || delete_take_result(op, &result, &passing);
    s3_delete_result_release(&result);
    if (!goes_on)
        return;
    if (passing.transient)
        s3_op_fail_with(op, &passing);
    else
        delete_next(op);
}

static void delete_send_many(struct s3_op *op) {
    s3_request_begin(op, "POST");
    op->request.bucket_only = true;
    s3_request_param(op, "delete", slice_of(""));
    s3_request_header(op, "content-type: application/xml");
    int err = delete_add_body(op);
    if (!err)
        err = s3_integrity_hash_body(op); /* a flipped bit would name another object */
    if (!err)
        err = s3_integrity_announce_body(op);
    if (err)
        s3_op_fail_err(op, err);
    else
        s3_request_send(op, delete_on_many);
}

/* --- DELETE --- */

static void delete_on_one(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && (e->transient || e->own == OWN_SURE || e->class == FAIL_NO_BUCKET)) {
        s3_op_fail_with(op, e);
        return;
    }
    if (!e || delete_found_nothing(e))
        task_key_gone(op->task, op->key_at);
    else if (!delete_note_failure(op, op->key_at, e))
        return;
    delete_next(op);
}

/* The URL becomes that of object i. False: *e says why there is none. */
static bool delete_set_key(struct s3_op *op, size_t i, struct s3_error *e) {
    struct target target = op->task->job.target;
    struct s3_object_url url;
    char why[sizeof e->text] = "it is not in the bucket of its job";
    target.dest = op->task->job.keys[i];
    bool valid = s3_object_url_init(&url, &target, S3_ADDRESSING_PATH, true, why, sizeof why) == 0 &&
                 slice_equal(url.bucket, op->url.bucket);
    op->url.key = valid ? url.key : op->url.key;
    s3_error_set(e, FAIL_REQUEST, false, why);
    return valid;
}

static void delete_send_one(struct s3_op *op, size_t i) {
    op->key_at = i;
    s3_request_begin(op, "DELETE");
    s3_request_send(op, delete_on_one);
}

/* --- all of them --- */

static void delete_next(struct s3_op *op) {
    struct s3_error e;
    if (s3_op_lease_ended(op)) { /* rule 5 */
        s3_op_fail(op, FAIL_OUTAGE, true, "the lease ended before all objects were deleted");
        return;
    }
    if (!op->one_by_one) {
        op->one_by_one = true;
        if (s3_op_endpoint(op)->deletes_many != S3_NO && delete_choose(op) >= MANY_MIN) {
            delete_send_many(op);
            return;
        }
    }
    for (size_t i = 0; i < op->task->job.key_count; i++) {
        if (task_key_has_ended(op->task, i))
            continue;
        if (delete_set_key(op, i, &e)) {
            delete_send_one(op, i);
            return;
        }
        if (!delete_note_failure(op, i, &e))
            return;
    }
    delete_end(op);
}

void s3_delete_start(struct s3_op *op) {
    op->asked = array_zeroed(op->task->job.key_count, sizeof *op->asked);
    int err = op->asked ? task_keys_begin(op->task) : ERR_NOMEM;
    if (err)
        s3_op_fail_err(op, err);
    else
        delete_next(op);
}
