/*
 * The producer plans files, offers their jobs, follows the journal and decides when a file is finished. It keeps
 * nothing on disk: a restart with the same arguments asks the consumer and continues.
 *
 * A driver (cli/driver.h) runs it in its own loop, in one thread:
 *
 *     producer_new
 *     until producer_is_finished:
 *         items = its own + producer_wait_items
 *         endpoint_wait(items, until deadline)
 *         deadline = far; producer_step(p, clock_ms(), &deadline)
 *     producer_exit_status, producer_stats, producer_destroy
 *
 * No function blocks, except on the disk (readdir, stat, read). Errors that end the run are returned by producer_new
 * and producer_step. An error of one file is reported through events.file_failed, and the other files continue.
 */
#ifndef CHUNKLIFT_PRODUCER_H
#define CHUNKLIFT_PRODUCER_H

#include "producer/producer_config.h"
#include "producer/producer_events.h"
#include "pure/err.h"
#include "runtime/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct producer;

/*
 * producer_prepare checks the arguments and only stats the sources. producer_open binds the jobs and data endpoints and
 * connects to a consumer of the journal directory, without a message to it. producer_new does both.
 * ERR_USAGE: logged, exit status 2. Other errors: logged, exit status 3. After an error of producer_prepare and producer_new,
 * *p is NULL and nothing is bound. After one of producer_open, only producer_destroy may follow.
 */
int producer_prepare(struct producer **p, const struct producer_config *config,
                     const struct producer_events *e) MUST_CHECK;
int producer_open(struct producer *p) MUST_CHECK;
int producer_new(struct producer **p, const struct producer_config *config, const struct producer_events *e) MUST_CHECK;
/* Sends BYE: the consumer drops the offers that were not claimed. */
void producer_destroy(struct producer **p);

/* For the uploaders' --jobs. Before producer_open it is the endpoint to bind, which may be a pattern if the
 * configuration has one. */
const char *producer_jobs_endpoint(const struct producer *p);
/* For the uploaders' --root: the absolute directories that contain all sources, each once. For their --allow: the URL
 * under which all destinations are. Valid until producer_destroy. */
size_t producer_root_count(const struct producer *p);
const char *producer_root(const struct producer *p, size_t i);
const char *producer_allow(const struct producer *p);
const char *producer_dest(const struct producer *p); /* the destination to show to users: a prefix or one name */

/* The S3 endpoint in force; empty for file://. Valid until producer_destroy. */
const char *producer_endpoint(const struct producer *p);

/* A directory among the sources: its file PATH/NAME has the destination dest_join(DEST, NAME). */
struct producer_tree {
    char *path, *dest;
    dev_t dev; /* its file system when the run began, */
    ino_t ino; /* and its number */
};
/* Copies the directories that can be used, for the caller to free with producer_free_trees. ERR_NOMEM: none. */
int producer_copy_trees(const struct producer *p, struct producer_tree **trees, size_t *count) MUST_CHECK;
void producer_free_trees(struct producer_tree *trees, size_t count);

/* Fills in at most PRODUCER_WAIT_ITEMS items and returns their number. They can change with every step. */
#define PRODUCER_WAIT_ITEMS 5
size_t producer_wait_items(struct producer *p, struct wait_item items[PRODUCER_WAIT_ITEMS]) MUST_CHECK;

/*
 * Runs one turn. Each phase is bounded: receive messages, walk and plan, decide, send offers, send bytes. Lowers
 * *deadline_ms (clock_ms) to the latest time of the next call. ERR_UNREACHABLE: consumer_wait_ms has passed.
 * ERR_DENIED, ERR_IO: the consumer refused --bwlimit. ERR_VERSION: the consumer speaks another protocol version.
 * ERR_NOMEM. All are logged; exit status 3.
 */
int producer_step(struct producer *p, uint64_t now_ms, uint64_t *deadline_ms) MUST_CHECK;

/* Handles the first stop request: no further job of this producer starts, and the consumer and the uploaders are told.
 * The producer is finished when no transfer of it is in flight, or after drain_for_ms without an answer of the
 * consumer. */
void producer_drain(struct producer *p);
/* The same for standard input, which cannot be continued: nothing more of it is sent, and its upload is removed. True: the
 * producer is finished when that is done, and needs its uploaders until then. False: nothing changed; drain it. */
bool producer_cancel(struct producer *p);
/* max_errors files have failed, and the consumer knows of each. */
bool producer_failed_enough(const struct producer *p);
bool producer_is_finished(const struct producer *p);
/* 0: all files are done. 1: some files failed. 3: an endpoint was never reached. A driver that was interrupted returns
 * 128 + signal instead. */
int producer_exit_status(const struct producer *p);
/* The last error message of the consumer (it stops, its journal failed), as one line. NULL: it works. */
const char *producer_trouble(const struct producer *p);

const struct producer_stats *producer_stats(const struct producer *p);
const struct id128 *producer_journal(const struct producer *p); /* zero before the first answer of the consumer */
/* The newest record that this producer has read; 0: none. */
uint64_t producer_journal_seq(const struct producer *p);
/* The first max files that are being uploaded, oldest first. Pointers are valid until the next step. */
size_t producer_files(const struct producer *p, struct producer_file_view *views, size_t max);

#endif
