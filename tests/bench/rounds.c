/*
 * How long others wait while a consumer with a large state rotates its journal and writes snapshots:
 *
 *     rounds DIR FIRST COUNT CHUNK [ROTATE]
 *
 * Records chunk CHUNK of the unfinished uploads FIRST … FIRST + COUNT - 1 of a journal that make_journal made, BATCH
 * of them and a heartbeat in a round, with real syncs, and prints the median and the longest round in milliseconds,
 * how often the journal was rotated, and how many were refused.
 */
#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "sample_ids.h"
#include "system/clock.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 100

static struct consumer *c;
static uint64_t number, refused;

static int take_answer(void *arg, const void *route, size_t len, struct slice frame) {
    struct msg m = {0};
    (void)arg, (void)route, (void)len;
    if (msg_decode(frame, &m))
        return 0;
    for (size_t i = 0; m.type == MSG_ACK && i < m.ack.ack_count; i++)
        refused += m.ack.acks[i].kind != ACK_RECORDED;
    refused += m.type == MSG_ERROR;
    msg_release(&m);
    return 0;
}

static int say(struct msg *m) {
    struct buf text = BUF_INIT;
    m->sender = (struct id128){{7}};
    m->journal = m->type == MSG_HELLO ? (struct id128){{0}} : *journal_id(consumer_journal(c));
    m->number = ++number;
    int err = msg_encode(m, &text);
    struct frame f = {.data = buf_slice(&text), .memory = text.data, .peer = "U", .peer_len = 1};
    f.memory = NULL; /* ours */
    if (!err)
        err = consumer_take(c, &f, clock_ms());
    buf_release(&text);
    return err;
}

static int complete(uint64_t first, uint64_t count, uint32_t chunk) {
    struct result results[BATCH] = {0};
    for (uint64_t i = 0; i < count; i++)
        results[i] = (struct result){.ref = {.kind = JOB_CHUNK, .upload = sample_id(first + i), .chunk = chunk},
                                     .outcome = OUTCOME_DONE,
                                     .handle = slice_of(SAMPLE_HANDLE),
                                     .offset = chunk * SAMPLE_CHUNK,
                                     .length = SAMPLE_CHUNK,
                                     .sent_bytes = SAMPLE_CHUNK,
                                     .etag = slice_of("9e107d9d372bb6826bd81d3542a419d6")};
    struct msg m = {.type = MSG_COMPLETE}, beat = {.type = MSG_HEARTBEAT};
    m.complete = (struct msg_complete){.results = results, .result_count = count};
    beat.heartbeat = (struct msg_heartbeat){.slots = 8, .free = 8};
    int err = say(&m);
    return err ? err : say(&beat);
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int work(uint64_t first, uint64_t count, uint32_t chunk) {
    struct msg hello = {.type = MSG_HELLO};
    hello.hello = (struct msg_hello){
        .role = ROLE_UPLOADER, .host = slice_of("far"), .boot = slice_of("boot"), .pid = 1, .starttime = 1, .slots = 8};
    uint64_t rounds = (count + BATCH - 1) / BATCH, before = journal_rotations(consumer_journal(c));
    uint64_t *us = calloc(rounds + 1, sizeof *us);
    int err = us ? say(&hello) : ERR_NOMEM;
    for (uint64_t i = 0; !err && i < rounds; i++) {
        uint64_t left = count - i * BATCH, began = clock_ns();
        err = complete(first + i * BATCH, left < BATCH ? left : BATCH, chunk);
        if (!err)
            err = consumer_round(c, clock_ms(), clock_ms());
        us[i] = (clock_ns() - began) / 1000;
        usleep(500); /* a waiting process gets the CPU */
    }
    if (!err) {
        qsort(us, rounds, sizeof *us, compare);
        uint64_t median = us[rounds / 2];
        printf("rounds=%" PRIu64 " median_ms=%.2f longest_ms=%.2f rotations=%" PRIu64 " refused=%" PRIu64 "\n", rounds,
               (double)median / 1000, (double)us[rounds - 1] / 1000, journal_rotations(consumer_journal(c)) - before,
               refused);
    }
    free(us);
    return err;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fputs("usage: rounds DIR FIRST COUNT CHUNK [ROTATE]\n", stderr);
        return 2;
    }
    log_setup("rounds", LOG_INFO, false);
    struct consumer_options o = {.dir = argv[1],
                                 .lease_ms = 10000,
                                 .rotate_bytes = argc > 5 ? strtoull(argv[5], NULL, 10) : 0,
                                 .send = take_answer};
    int err = consumer_new(&c, &o, clock_ms());
    if (!err)
        err = work(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), (uint32_t)strtoul(argv[4], NULL, 10));
    consumer_destroy(&c);
    return err ? 1 : 0;
}
