/*
 * Appends records to the journal and applies them to the state at once. A record is durable after
 * the next commit (ledger_flush); replies leave only then (rule 8).
 *
 * A function that returns an error other than ERR_INVALID has marked the consumer as failed: the
 * process must end.
 */
#ifndef CHUNKLIFT_CONSUMER_LEDGER_H
#define CHUNKLIFT_CONSUMER_LEDGER_H

#include "journal/record.h"
#include "pure/err.h"
#include "pure/proto.h"

struct consumer;
struct upload;

#define ERROR_TEXT_MAX 768 /* bytes of a `fail` record's error */

/* The producers (bits) that an event of the job concerns: those that planned its upload, also after it ended; all when it
 * is not known. Of a question, the producer that asks; 0: it left. */
uint64_t ledger_producers_of_job(const struct consumer *c, const struct ref *ref);
/* NULL: its upload is not open. A question has no upload, also when its id is that of one. */
struct upload *ledger_upload_of_job(const struct consumer *c, const struct ref *ref);

/* producers: those that the record concerns. ERR_INVALID: r cannot be a journal line, and nothing
 * happened. Otherwise r->seq is set, and the upload may be gone. */
int ledger_append(struct consumer *c, struct record *r, uint64_t producers) MUST_CHECK;
/* Rule 10: the intent. It is durable before the grant leaves. */
int ledger_append_open(struct consumer *c, struct upload *u) MUST_CHECK;
int ledger_append_abort(struct consumer *c, const struct upload *u, const char *reason) MUST_CHECK;
/* One `fail` record for each class, until the upload is planned again. *seq is 0 when there was one
 * already. */
int ledger_append_fail(struct consumer *c, const struct id128 *upload, enum fail_class class, struct slice error,
                       uint64_t *seq) MUST_CHECK;

/* Commits the appended records, then sends the queued replies. */
int ledger_flush(struct consumer *c) MUST_CHECK;
/* Everything appended must be committed. A failure is only logged: a snapshot is a cache.
 * ledger_save_snapshot blocks until it is written; ledger_begin_snapshot leaves that to a child
 * process. */
void ledger_save_snapshot(struct consumer *c);
void ledger_begin_snapshot(struct consumer *c);

/* The producers of u, and those of the upload that supersedes it. */
uint64_t ledger_concerned(const struct consumer *c, const struct upload *u);

#endif
