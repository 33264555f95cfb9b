/* Endpoints with keys: admitted and refused peers, and a trust file that is read again. Strangers are plain libzmq sockets
 * in another context. */
#include "capture.h"
#include "files.h"
#include "pure/proto.h"
#include "runtime/endpoint.h"
#include "runtime/keys.h"
#include "system/clock.h"
#include "system/log.h"
#include "unit.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define PATIENCE_MS 20000
#define NOTHING_MS 700 /* how long nothing must come */
#define ADDRESS "tcp://127.0.0.1:*"

static struct key_pair own, friend, stranger;
static void *context;
static struct frame f;

static void write_trust(const char *text) {
    file_put_text("trust", text);
    assert_int_equal(chmod("trust", 0644), 0);
}

static const char *line(const struct key_pair *k, const char *rest) {
    static char text[4][200];
    static unsigned next;
    char *one = text[next++ % 4];
    snprintf(one, sizeof text[0], "%s %s\n", k->public.text, rest);
    return one;
}

static void setup_keys(const char *trust, unsigned admits) {
    static const struct key_options o = {.key = "key", .trust = "trust"};
    FILE *file = fopen("key", "w");
    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    fprintf(file, "public %s\nsecret %s\n", own.public.text, own.secret.text);
    assert_int_equal(fclose(file), 0);
    write_trust(trust);
    assert_int_equal(keys_setup(&o, admits), 0);
    keys_expect_own_producer(); /* a client and a server in one process */
}

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_WARN, false);
    context = zmq_ctx_new();
    return key_pair_generate(&own) || key_pair_generate(&friend) || key_pair_generate(&stranger) || !context;
}

static int teardown(void **state) {
    (void)state;
    frame_release(&f);
    zmq_ctx_shutdown(context); /* no waiting for sockets that a failed test left */
    endpoint_shutdown_all();
    return 0;
}

/* A client that is none of ours; k NULL: it has no key. */
static void *client(int type, const char *address, const struct key_pair *k, const struct key_pair *server) {
    int none = 0;
    void *s = zmq_socket(context, type);
    zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none);
    if (k) {
        zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, k->public.text, CURVE_TEXT_LEN);
        zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, k->secret.text, CURVE_TEXT_LEN);
        zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server->public.text, CURVE_TEXT_LEN);
    }
    assert_int_equal(zmq_connect(s, address), 0);
    return s;
}

static bool turn(struct endpoint *e, int want, int ms) {
    struct wait_item item = {.endpoint = e, .want = want};
    assert_int_equal(endpoint_wait(&item, 1, ms), 0);
    return (item.ready & want) != 0;
}

/* The next message, within ms; false when none came. */
static bool hears(struct endpoint *e, int ms) {
    uint64_t end = clock_ms() + (uint64_t)ms;
    while (clock_ms() < end) {
        if (endpoint_recv(e, &f) == 0)
            return true;
        turn(e, ENDPOINT_IN, 20);
    }
    return false;
}

static void sends(struct endpoint *server, struct endpoint *e, struct slice data) {
    uint64_t end = clock_ms() + PATIENCE_MS;
    while (endpoint_send(e, NULL, 0, data) != 0) {
        assert_true(clock_ms() < end);
        turn(server, ENDPOINT_IN, 5);
    }
}

/* "zmq_msg_gets User-Id": the key comes with each message; the largest one passes, encrypted too. */
static void test_conversation(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    setup_keys("# nobody else\n", TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, endpoint_address(router)), 0);
    char *large = calloc(1, PROTO_FRAME_MAX);
    size_t sizes[] = {0, 1, 222, 223, 255, 256, PROTO_FRAME_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        sends(router, dealer, slice_make(large, sizes[i]));
        assert_true(hears(router, PATIENCE_MS));
        assert_int_equal(f.data.len, sizes[i]);
        assert_string_equal(f.key.text, own.public.text);
        assert_int_equal(endpoint_send(router, f.peer, f.peer_len, f.data), 0);
        assert_true(hears(dealer, PATIENCE_MS));
        assert_int_equal(f.data.len, sizes[i]);
        assert_false(curve_key_is_set(&f.key));
    }
    free(large);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static void test_offers(void **state) {
    (void)state;
    struct endpoint *push, *pull;
    char large[PROTO_OFFER_MAX] = "offer";
    setup_keys("# nobody else\n", TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&push, ENDPOINT_PUSH, ADDRESS), 0);
    assert_int_equal(endpoint_open(&pull, ENDPOINT_PULL, endpoint_address(push)), 0);
    for (int i = 0; i < 50; i++) {
        sends(push, push, slice_make(large, sizeof large));
        assert_true(hears(pull, PATIENCE_MS));
        assert_int_equal(f.data.len, sizeof large);
    }
    endpoint_close(&pull);
    endpoint_close(&push);
}

static void say(void *s, const char *text) {
    (void)!zmq_send(s, text, strlen(text), ZMQ_DONTWAIT);
}

/* No message is returned of a peer without a key, with an untrusted key or another role, or that expects another server.
 */
static void test_messages_of_refused_peers_are_dropped(void **state) {
    (void)state;
    struct endpoint *router;
    char trust[400];
    snprintf(trust, sizeof trust, "%s%s", line(&friend, "uploader"), line(&stranger, "reader,consumer"));
    setup_keys(trust, TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    struct key_pair unknown;
    assert_int_equal(key_pair_generate(&unknown), 0);
    const char *at = endpoint_address(router);
    void *refused[] = {client(ZMQ_DEALER, at, NULL, NULL), client(ZMQ_DEALER, at, &unknown, &own),
                       client(ZMQ_DEALER, at, &stranger, &own), client(ZMQ_DEALER, at, &friend, &stranger),
                       client(ZMQ_REQ, at, NULL, NULL)};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        say(refused[i], "let me in");
    assert_false(hears(router, NOTHING_MS));
    void *good = client(ZMQ_DEALER, at, &friend, &own);
    say(good, "hello");
    assert_true(hears(router, PATIENCE_MS));
    assert_true(slice_equal(f.data, slice_of("hello")));
    assert_string_equal(f.key.text, friend.public.text);
    assert_false(hears(router, 100));
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        zmq_close(refused[i]);
    zmq_close(good);
    endpoint_close(&router);
}

/* A refused peer attracts no offers: none is accepted while only refused peers are there. */
static void test_refused_peers_get_no_offers(void **state) {
    (void)state;
    struct endpoint *push;
    setup_keys(line(&friend, "uploader"), TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&push, ENDPOINT_PUSH, ADDRESS), 0);
    const char *at = endpoint_address(push);
    void *refused[] = {client(ZMQ_PULL, at, NULL, NULL), client(ZMQ_PULL, at, &stranger, &own)};
    uint64_t end = clock_ms() + NOTHING_MS;
    while (clock_ms() < end) {
        assert_int_equal(endpoint_send(push, NULL, 0, slice_of("offer")), ERR_AGAIN);
        turn(push, ENDPOINT_OUT, 20);
    }
    void *good = client(ZMQ_PULL, at, &friend, &own);
    char text[16];
    sends(push, push, slice_of("offer"));
    int wait_ms = PATIENCE_MS;
    zmq_setsockopt(good, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    assert_int_equal(zmq_recv(good, text, sizeof text, 0), 5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(zmq_recv(refused[i], text, sizeof text, ZMQ_DONTWAIT), -1);
        zmq_close(refused[i]);
    }
    zmq_close(good);
    endpoint_close(&push);
}

/* "which server key to expect": one that has another key, or none, hears nothing and is not heard. */
static void test_a_wrong_server(void **state) {
    (void)state;
    char at[100];
    size_t size = sizeof at;
    setup_keys("# nobody\n", 0);
    for (int plain = 0; plain < 2; plain++) {
        void *server = zmq_socket(context, ZMQ_ROUTER);
        int yes = 1, none = 0;
        zmq_setsockopt(server, ZMQ_LINGER, &none, sizeof none);
        if (!plain) {
            zmq_setsockopt(server, ZMQ_CURVE_SERVER, &yes, sizeof yes);
            zmq_setsockopt(server, ZMQ_CURVE_SECRETKEY, stranger.secret.text, CURVE_TEXT_LEN);
        }
        assert_int_equal(zmq_bind(server, ADDRESS), 0);
        assert_int_equal(zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, at, &(size_t){sizeof at}), 0);
        struct endpoint *dealer;
        assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, at), 0);
        uint64_t end = clock_ms() + NOTHING_MS;
        while (clock_ms() < end) {
            assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("secret")), ERR_AGAIN);
            assert_int_equal(zmq_recv(server, at, size, ZMQ_DONTWAIT), -1);
            turn(dealer, ENDPOINT_IN, 20);
        }
        endpoint_close(&dealer);
        zmq_close(server);
    }
}

/* "A peer whose key lost a role is disconnected before this returns": its messages are dropped, and it receives nothing.
 * Another key is not disturbed at a ROUTER, and reconnects at once at a PUSH. */
static void test_revoked(void **state) {
    (void)state;
    struct endpoint *router, *push;
    char trust[400], text[16];
    snprintf(trust, sizeof trust, "%s%s", line(&friend, "uploader"), line(&stranger, "uploader"));
    setup_keys(trust, TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    assert_int_equal(endpoint_open(&push, ENDPOINT_PUSH, ADDRESS), 0);
    void *stays = client(ZMQ_DEALER, endpoint_address(router), &friend, &own);
    void *goes = client(ZMQ_DEALER, endpoint_address(router), &stranger, &own);
    void *mute = client(ZMQ_DEALER, endpoint_address(router), &stranger, &own); /* never sends a message */
    uint8_t route[16];
    say(goes, "first");
    assert_true(hears(router, PATIENCE_MS));
    size_t route_len = f.peer_len;
    memcpy(route, f.peer, route_len);
    say(stays, "second");
    assert_true(hears(router, PATIENCE_MS));
    void *pull = client(ZMQ_PULL, endpoint_address(push), &stranger, &own);
    sends(push, push, slice_of("offer"));
    int wait_ms = PATIENCE_MS;
    zmq_setsockopt(pull, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    assert_int_equal(zmq_recv(pull, text, sizeof text, 0), 5);

    say(goes, "waits to be read");
    zmq_pollitem_t none = {.fd = -1};
    zmq_poll(&none, 0, 100); /* it has arrived when the file is read */
    write_trust(line(&friend, "uploader"));
    assert_int_equal(endpoint_reread_keys(), 0);
    assert_false(hears(router, 100)); /* not the waiting message */
    say(goes, "again");
    say(mute, "now");
    uint64_t end = clock_ms() + NOTHING_MS;
    while (clock_ms() < end) {
        (void)!endpoint_send(router, route, route_len, slice_of("answer"));
        assert_int_equal(zmq_recv(goes, text, sizeof text, ZMQ_DONTWAIT), -1);
        assert_int_equal(zmq_recv(pull, text, sizeof text, ZMQ_DONTWAIT), -1);
        (void)!endpoint_send(push, NULL, 0, slice_of("offer"));
        assert_false(hears(router, 20));
        turn(push, ENDPOINT_OUT, 10);
    }
    say(stays, "third");
    assert_true(hears(router, PATIENCE_MS));
    assert_true(slice_equal(f.data, slice_of("third")));

    write_trust(trust); /* and it is back */
    assert_int_equal(endpoint_reread_keys(), 0);
    zmq_close(goes);
    goes = client(ZMQ_DEALER, endpoint_address(router), &stranger, &own);
    say(goes, "back");
    assert_true(hears(router, PATIENCE_MS));
    zmq_close(goes);
    zmq_close(stays);
    zmq_close(mute);
    zmq_close(pull);
    endpoint_close(&push);
    endpoint_close(&router);
}

/* A client receives nothing from a server that lost its trust, and reconnects when the server is trusted again. */
static void test_a_server_is_revoked(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    setup_keys(line(&own, "consumer"), TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    assert_int_equal(endpoint_open_consumer(&dealer, endpoint_address(router)), 0);
    sends(router, dealer, slice_of("question"));
    assert_true(hears(router, PATIENCE_MS));
    assert_int_equal(endpoint_send(router, f.peer, f.peer_len, slice_of("answer")), 0);
    assert_true(turn(dealer, ENDPOINT_IN, PATIENCE_MS)); /* it waits to be read */
    write_trust("# nobody\n");
    assert_int_equal(endpoint_reread_keys(), 0);
    assert_false(hears(dealer, 100));
    assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("x")), ERR_AGAIN);
    assert_false(hears(router, 2500)); /* nor does it connect by itself */
    write_trust(line(&own, "consumer"));
    assert_int_equal(endpoint_reread_keys(), 0);
    sends(router, dealer, slice_of("again"));
    assert_true(hears(router, PATIENCE_MS));
    endpoint_close(&dealer);
    endpoint_close(&router);
}

/* "A consumer may have two keys while its key is replaced": the other one is tried, and a file that still has both
 * disturbs nothing. */
static void test_a_consumer_with_two_keys(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    char trust[400], rest[120];
    setup_keys("# nobody\n", TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    snprintf(rest, sizeof rest, "consumer %s", endpoint_address(router));
    snprintf(trust, sizeof trust, "%s%s", line(&stranger, rest), line(&own, rest));
    write_trust(trust);
    assert_int_equal(endpoint_reread_keys(), 0);
    assert_int_equal(endpoint_open_consumer(&dealer, endpoint_address(router)), 0);
    assert_false(hears(router, 200));
    assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("x")), ERR_AGAIN); /* the first line is not its key */
    endpoint_try_other_key(dealer);
    sends(router, dealer, slice_of("hello"));
    assert_true(hears(router, PATIENCE_MS));
    assert_int_equal(endpoint_reread_keys(), 0);
    assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("still here")), 0);
    assert_true(hears(router, PATIENCE_MS));
    write_trust(line(&own, rest)); /* the old key is gone */
    assert_int_equal(endpoint_reread_keys(), 0);
    assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("and now")), 0);
    assert_true(hears(router, PATIENCE_MS));
    endpoint_try_other_key(dealer); /* there is none */
    assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("as before")), 0);
    assert_true(hears(router, PATIENCE_MS));
    write_trust(line(&stranger, rest));
    assert_int_equal(endpoint_reread_keys(), 0);
    assert_false(hears(router, 100));
    assert_int_equal(endpoint_send(dealer, NULL, 0, slice_of("to another")), ERR_AGAIN);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static struct capture said;

/* Lets the endpoint work until its log has this text. */
static void until_logged(struct endpoint *e, const char *text) {
    static char log[65536];
    for (uint64_t end = clock_ms() + PATIENCE_MS; clock_ms() < end; turn(e, ENDPOINT_IN, 20)) {
        ssize_t n = pread(said.file, log, sizeof log - 1, 0);
        log[n > 0 ? n : 0] = '\0';
        if (strstr(log, text))
            return;
    }
    capture_end(&said);
    fail_msg("not logged: %s\n%s", text, log);
}

static size_t times_logged(const char *text) {
    size_t count = 0;
    for (const char *at = said.text; (at = strstr(at, text)); at++)
        count++;
    return count;
}

static void test_a_peer_without_a_key_is_logged(void **state) {
    (void)state;
    struct endpoint *router;
    setup_keys("# nobody\n", TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    capture_begin(&said, STDERR_FILENO);
    void *refused = client(ZMQ_DEALER, endpoint_address(router), NULL, NULL);
    until_logged(router, "a peer without a key, or with a wrong key for this host, was refused");
    hears(router, NOTHING_MS); /* it tries again */
    capture_end(&said);
    assert_int_equal(times_logged("was refused"), 1);
    zmq_close(refused);
    endpoint_close(&router);
}

/* The first test: a server logs refused keys once a minute. */
static void test_an_untrusted_key_is_logged_at_both_ends(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    setup_keys("# nobody\n", TRUST_READER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    capture_begin(&said, STDERR_FILENO);
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, endpoint_address(router)), 0);
    until_logged(router, "refused, its key is not trusted here: ");
    until_logged(dealer, "does not trust this host's key; add this host's .pub line");
    hears(router, NOTHING_MS);
    turn(dealer, ENDPOINT_IN, 20);
    capture_end(&said);
    assert_int_equal(times_logged("does not trust this host's key"), 1);
    assert_int_equal(times_logged("its key is not trusted here"), 1);
    assert_non_null(strstr(said.text, own.public.text));
    assert_int_equal(times_logged("others were refused before"), 0);
    assert_int_equal(times_logged("unexpected key"), 0);
    assert_int_equal(times_logged("a peer without a key"), 0);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

static void test_an_unexpected_key_of_a_server_is_logged(void **state) {
    (void)state;
    char at[100];
    int yes = 1, none = 0;
    setup_keys("# nobody\n", 0);
    void *server = zmq_socket(context, ZMQ_ROUTER);
    zmq_setsockopt(server, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(server, ZMQ_CURVE_SERVER, &yes, sizeof yes);
    zmq_setsockopt(server, ZMQ_CURVE_SECRETKEY, stranger.secret.text, CURVE_TEXT_LEN);
    assert_int_equal(zmq_bind(server, ADDRESS), 0);
    assert_int_equal(zmq_getsockopt(server, ZMQ_LAST_ENDPOINT, at, &(size_t){sizeof at}), 0);
    struct endpoint *dealer;
    capture_begin(&said, STDERR_FILENO);
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, at), 0);
    until_logged(dealer, "the peer there presented an unexpected key, or none");
    hears(dealer, NOTHING_MS);
    capture_end(&said);
    assert_int_equal(times_logged("unexpected key"), 1);
    endpoint_close(&dealer);
    zmq_close(server);
}

/* A peer that was admitted and leaves is no failed handshake. */
static void test_the_end_of_a_good_connection_is_not_logged(void **state) {
    (void)state;
    struct endpoint *router, *dealer;
    setup_keys("# nobody\n", TRUST_UPLOADER);
    capture_begin(&said, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
        assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, endpoint_address(router)), 0);
        sends(router, dealer, slice_of("hello"));
        bool heard = hears(router, PATIENCE_MS);
        endpoint_close(i % 2 ? &router : &dealer);
        hears(i % 2 ? dealer : router, 100);
        endpoint_close(i % 2 ? &dealer : &router);
        assert_true(heard);
    }
    assert_string_equal(capture_end(&said), "");
}

static void test_the_loss_of_a_servers_key_is_logged_once(void **state) {
    (void)state;
    struct endpoint *dealer;
    setup_keys(line(&stranger, "consumer"), 0);
    assert_int_equal(endpoint_open_consumer(&dealer, "tcp://127.0.0.1:9"), 0);
    capture_begin(&said, STDERR_FILENO);
    int err = endpoint_reread_keys();
    write_trust("# nobody\n");
    for (int i = 0; i < 3; i++)
        err |= endpoint_reread_keys();
    write_trust(line(&friend, "consumer"));
    err |= endpoint_reread_keys();
    write_trust(line(&stranger, "consumer"));
    err |= endpoint_reread_keys();
    capture_end(&said);
    assert_int_equal(err, 0);
    assert_int_equal(times_logged("disconnected: the trust file here has no key for it any more"), 1);
    assert_int_equal(times_logged("\n"), 1);
    endpoint_close(&dealer);
}

static void test_no_keys_no_tcp(void **state) {
    (void)state;
    struct endpoint *e;
    assert_int_equal(keys_setup(&(struct key_options){0}, 0), 0);
    assert_int_equal(endpoint_open(&e, ENDPOINT_ROUTER, ADDRESS), ERR_DENIED);
    assert_int_equal(endpoint_open(&e, ENDPOINT_DEALER, "tcp://127.0.0.1:7701"), ERR_DENIED);
    assert_int_equal(endpoint_open(&e, ENDPOINT_ROUTER, "ipc://local"), 0);
    endpoint_close(&e);
    setup_keys("# nobody\n", 0);
    assert_int_equal(endpoint_open_consumer(&e, "tcp://127.0.0.1:7701"), ERR_DENIED); /* no key is known for it */
}

/* Each item is watched with its connections, and the questions about keys once more. */
static void test_a_wait_for_many_endpoints_with_keys(void **state) {
    (void)state;
    enum { COUNT = 32 };
    struct endpoint *router, *dealer;
    struct wait_item items[COUNT];
    setup_keys("# nobody\n", TRUST_UPLOADER);
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, ADDRESS), 0);
    assert_int_equal(endpoint_open(&dealer, ENDPOINT_DEALER, endpoint_address(router)), 0);
    for (size_t i = 0; i < COUNT; i++)
        items[i] = (struct wait_item){.endpoint = router, .want = ENDPOINT_IN};
    assert_int_equal(endpoint_wait(items, COUNT, 0), 0);
    sends(router, dealer, slice_of("hello"));
    assert_int_equal(endpoint_wait(items, COUNT, PATIENCE_MS), 0);
    assert_int_equal(endpoint_wait(items, COUNT, 0), 0); /* the message may have come between two items */
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(items[i].ready, ENDPOINT_IN);
    assert_int_equal(endpoint_wait_max_ms(router), 20); /* it admits clients */
    (void)endpoint_events(dealer);
    assert_int_equal(endpoint_wait_max_ms(dealer), 25);
    endpoint_close(&dealer);
    endpoint_close(&router);
}

#define CURVE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(CURVE_TEST(test_an_untrusted_key_is_logged_at_both_ends), CURVE_TEST(test_conversation),
          CURVE_TEST(test_offers), CURVE_TEST(test_messages_of_refused_peers_are_dropped),
          CURVE_TEST(test_refused_peers_get_no_offers), CURVE_TEST(test_a_wrong_server), CURVE_TEST(test_revoked),
          CURVE_TEST(test_a_server_is_revoked), CURVE_TEST(test_no_keys_no_tcp),
          CURVE_TEST(test_a_consumer_with_two_keys), CURVE_TEST(test_a_peer_without_a_key_is_logged),
          CURVE_TEST(test_an_unexpected_key_of_a_server_is_logged),
          CURVE_TEST(test_the_end_of_a_good_connection_is_not_logged),
          CURVE_TEST(test_a_wait_for_many_endpoints_with_keys),
          CURVE_TEST(test_the_loss_of_a_servers_key_is_logged_once))
