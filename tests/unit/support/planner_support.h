/* A planner on a temporary directory. The test plays the consumer (answers to PLAN, journal lines, events)
 * and sets the time. */
#ifndef CHUNKLIFT_TEST_PLANNER_SUPPORT_H
#define CHUNKLIFT_TEST_PLANNER_SUPPORT_H

#include "files.h"
#include "journal/record.h"
#include "producer/planner.h"
#include "unit.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK CHUNK_ALIGN

extern struct planner planner;
extern char planner_root[TEMP_DIR_SIZE]; /* the temporary directory, which is the current one */

/* Counts and last texts of the planner's events, and the functions that fill them. */
extern struct reported {
    unsigned started, progressed, done, skipped, failed, notices;
    char failed_path[4096], reason[2048], notice[2048];
    enum fail_class class;
} reported;
extern const struct producer_events reported_events;

int planner_set_up(void **state);
int planner_tear_down(void **state);

/* Starts the planner on SRC "src" (a file or a tree in the temporary directory), and reads all sources. */
void planner_start(const char *dest, bool force, enum on_change on_change);

/* --- requests and answers --- */

struct id128 upload_id(unsigned n);

/* Requests all due files under this number. Returns their count. */
size_t planner_request(uint64_t now_ms, uint64_t number, struct plan_file *list);
void planner_answer(uint64_t now_ms, uint64_t number, struct planned_file *files, size_t count);

/* Requests the only file, and answers. */
void planner_plan_one(uint64_t now_ms, struct planned_file p);

/* Sends all offers that are possible; jobs: of all messages, in order. Returns their count, at most max. */
size_t planner_offer_all(uint64_t now_ms, struct job *jobs, size_t max);

/* --- RECORDS; the fleet is unchanged --- */

/* Delivers these events and records. Numbers the records from 1. */
void planner_receive(uint64_t now_ms, struct event *events, size_t event_count, struct record *records,
                     size_t record_count);
void planner_receive_event(uint64_t now_ms, enum event_kind kind, const struct ref *ref, enum why why,
                           uint32_t after_ms);
void planner_receive_record(uint64_t now_ms, struct record r);

struct record record_of_chunk(const struct file *f, uint32_t chunk);
struct record record_of_begin(const struct file *f);
struct record record_of_finish(const struct file *f);
struct record record_of_fail(const struct file *f, const char *class, const char *error);
struct record record_of_abort(const struct id128 *upload, const char *reason);

#endif
