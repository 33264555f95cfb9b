/* The producer on real sockets: the test plays the consumer (ROUTER) and an uploader (PULL). */
#ifndef CHUNKLIFT_TEST_PRODUCER_FIXTURE_H
#define CHUNKLIFT_TEST_PRODUCER_FIXTURE_H

#include "journal/record.h"
#include "producer/producer.h"
#include "pure/proto.h"
#include "unit.h"

#define PATIENCE_MS 10000

/* The answer to SET; LOST: none. */
enum set_answer { SET_LOST, SET_DONE, SET_FAILED, SET_REFUSED, SET_OF_ANOTHER };

extern struct fixture {
    struct producer *producer;
    struct endpoint *router, *pull; /* pull: opened by the test */
    struct frame frame, offer;
    struct id128 journal, self;
    uint64_t epoch, seq;
    struct chain chain;
    unsigned welcomes, plans, tails;
    unsigned failed, done, notices;
    char reason[1024], notice[1024];
    /* of every file in PLANNED */
    enum planned_state plan_state;
    struct slice plan_done;
    bool set_bwlimit; /* --bwlimit 1234 */
    struct {
        enum set_answer answer;
        unsigned asked;
        struct msg_set last;
    } set;
    const char *bad_lines; /* sent in place of the records */
    uint32_t uploaders;    /* of the fleet; 1 */
    struct ref slow;       /* a slow job, when slow_count is 1 */
    size_t slow_count;
    struct event *event; /* in every answer to a TAIL that does not wait; NULL: none */
    /* a TAIL without an answer */
    bool tail_waits;
    uint64_t tail_number;
    struct msg_tail tail;
    uint8_t peer[16];
    uint8_t peer_len;
} fixture;

/* Of each test: a new directory, and a consumer. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Every consumer has another port, which the file in the journal directory names. */
void fixture_open_consumer(void);
/* The consumer leaves; the session notices it after 3 s of silence. */
void fixture_lose_consumer(void);

void fixture_start(const char *const *sources, size_t count, const char *dest);
/* One new file "a" of 10 bytes. */
void fixture_start_one_file(void);

/* One turn of the consumer and the producer, at most 50 ms. The first function returns the error of producer_step. */
int fixture_turn_err(void) MUST_CHECK;
void fixture_turn(void);
#define UNTIL(condition)                                                                                               \
    for (uint64_t end = clock_ms() + PATIENCE_MS; !(condition);) {                                                     \
        assert_true(clock_ms() < end);                                                                                 \
        fixture_turn();                                                                                                \
    }

/* The answer to the TAIL that waits. */
void fixture_send_records(struct event *events, size_t event_count, struct record *records, size_t count);
void fixture_send_error(enum protocol_error code, const char *text);

/* The next OFFER, decoded; the caller releases it. */
bool fixture_next_offer(struct msg *m);

#endif
