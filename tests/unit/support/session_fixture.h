/* A session against a small consumer in the same thread that each test controls. */
#ifndef CHUNKLIFT_TEST_SESSION_FIXTURE_H
#define CHUNKLIFT_TEST_SESSION_FIXTURE_H

#include "runtime/session.h"
#include "system/clock.h"
#include "unit.h"

#define PATIENCE_MS 20000

struct fake_consumer {
    struct endpoint *router;
    struct frame frame;
    struct id128 journal, id;
    uint64_t epoch;
    bool greets; /* answers HELLO */
    bool knows;  /* got HELLO; before it everything is answered HELLO_FIRST */
    bool echoes; /* answers TAIL with RECORDS */
    int hellos, tails, byes;
    uint64_t hello_number, tail_number;
    struct id128 sender, hello_journal;
    uint8_t peer[16];
    size_t peer_len;
    char hello_host[256], hello_jobs[64], hello_allow[64], hello_boot[64], hello_software[64];
    uint64_t hello_slots, hello_pid, hello_starttime;
};

/* Binds address. It greets, and echoes TAIL, until the test says otherwise. */
void fake_consumer_open(struct fake_consumer *c, const char *address, uint64_t epoch);
void fake_consumer_close(struct fake_consumer *c);

/* To the peer that sent the last message. */
void fake_consumer_say(struct fake_consumer *c, struct msg *m);
void fake_consumer_welcome(struct fake_consumer *c, uint64_t number);
void fake_consumer_error(struct fake_consumer *c, enum protocol_error code, uint64_t number);
void fake_consumer_records(struct fake_consumer *c, uint64_t number);

/* Reads and answers all that has arrived. */
void fake_consumer_turn(struct fake_consumer *c);

/* The messages that the session returned since session_client_new. */
struct session_seen {
    int welcomes, records, errors;
    uint64_t number;
    enum protocol_error code;
};
extern struct session_seen session_seen;

/* An uploader with 8 slots: of the consumer at this address, or of the one of this journal directory. */
struct session *session_client_new(const char *consumer, const char *dir);

/* Sends a TAIL. Returns its number. */
uint64_t session_ask(struct session *s);

/* The file DIR/consumer of this process. */
void consumer_file_put(const char *dir, const char *endpoint);

/* Sleeps until something arrives or the session wants to be called; then one turn of both. c NULL: there is none. */
void session_and_consumer_turn(struct session *s, struct fake_consumer *c);

#define TURN_UNTIL(s, c, condition)                                                                                    \
    do {                                                                                                               \
        uint64_t end_ = clock_ms() + PATIENCE_MS;                                                                      \
        while (!(condition) && clock_ms() < end_)                                                                      \
            session_and_consumer_turn(s, c);                                                                           \
        assert_true(condition);                                                                                        \
    } while (0)

#endif
