/* A consumer that the test scripts: a ROUTER in this process that replies to a command in a child process. Its records
 * are the lines of test_journal. */
#ifndef CHUNKLIFT_TEST_SCRIPTED_CONSUMER_H
#define CHUNKLIFT_TEST_SCRIPTED_CONSUMER_H

#include "command_run.h"
#include "journal_lines.h"
#include "pure/proto.h"

extern char scripted_address[256];

/* The data of the scripted consumer, and the messages it got. */
extern struct scripted {
    uint64_t seq;                   /* the head that it reports */
    uint64_t first;                 /* earlier records were removed */
    uint64_t beyond;                /* records that it has after that head */
    bool silent;                    /* does not reply */
    bool falls_silent;              /* after its first reply */
    bool refuse;                    /* replies to HELLO with an error */
    uint64_t batch_max;             /* records in one reply */
    uint64_t uploads;               /* to show, two per page */
    int lost;                       /* the first requests, which get no reply */
    bool late;                      /* only the first request gets a reply, after it was repeated */
    const char *line;               /* sent in place of the records */
    bool resync;                    /* TAIL gets no records, only this mark */
    bool resync_with_records;       /* TAIL gets this mark with the records */
    bool answers_empty;             /* TAIL gets no records instead of no reply */
    bool stray;                     /* a reply to no request, with other data, precedes those to TAIL and SET */
    bool aborting;                  /* uploads that are to be aborted have not ended yet */
    enum protocol_error tail_error; /* the reply to TAIL; HELLO_FIRST only once */
    enum role role;                 /* of the peer: ROLE_READER; 0: any */
    struct msg_settings settings;   /* the reply to SET */
    const char *forget_error;
    bool forgets_none; /* the reply to FORGET has no uploads */
    int hellos, requests, tails, statuses, byes, sets, forgets;
    uint64_t last_tail_seq;
    uint32_t last_wait_ms;
    struct msg_set last_set;
    uint8_t forget_ids[16 * PROTO_FORGET_MAX]; /* of the last FORGET */
    size_t forget_ids_len;
    bool forget_unfinished;
} scripted;

/* Of each test. Both also make and remove test_journal. */
int scripted_setup(void **state);
int scripted_teardown(void **state);

/* Starts a command. Before scripted_bind: a ZeroMQ context does not survive a fork. */
#define SCRIPTED_START(...) command_start(WORDS(__VA_ARGS__))
void scripted_bind(void);
void scripted_unbind(void);

/* Runs a command to its end, and serves it. Returns its exit status. */
#define SCRIPTED_RUN(...) scripted_run(WORDS(__VA_ARGS__))
int scripted_run(int argc, const char **argv);

/* Serves the messages that arrived; waits up to ms for more. */
void scripted_serve(int ms);
/* Serves until the command ends, at most 30 s. Returns its exit status. */
int scripted_until_end(pid_t pid);
void scripted_until_output(const char *text);

#endif
