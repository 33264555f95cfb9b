/*
 * The requests of the sources of credentials without a network: a test looks at the last one and
 * gives its reply. The clocks stand still unless the test moves them. The linker wraps http_start,
 * http_cancel, http_wait, clock_ms and clock_real_us (tests.cmake).
 */
#ifndef CHUNKLIFT_TEST_AWS_NET_H
#define CHUNKLIFT_TEST_AWS_NET_H

#include "unit.h"

#include "pure/buf.h"
#include "uploader/http/http.h"
#include <stdbool.h>

#define NET_START_MS 1000000
#define NET_START_US ((int64_t)1800000000 * 1000000)

struct aws_net {
    uint64_t now_ms;
    unsigned count;              /* of requests */
    char url[512], headers[512]; /* of the last one: "GET URL", lines */
    char signed_with[256];       /* "KEY SECRET TOKEN REGION SERVICE"; empty: not signed */
    struct buf text;             /* its body */
    bool direct, in_flight;
    uint32_t timeout_ms;
    int waited_ms;
    void (*done)(void *arg, const struct http_reply *reply);
    void *arg;
};
extern struct aws_net net;

/* Stands for the HTTP engine, which is never used. */
struct http *net_engine(void);
void net_reset(void);
void net_answer(long status, const char *body);
/* There is no reply. */
void net_lose(void);
/* text: "2027-01-15T08:00:00Z" of a time since NET_START_US. */
void net_time(int64_t seconds_from_start, char text[40]);

#endif
