/* Restarts (rule 6): the grace period, adopted leases, and when there is no grace period. */
#include "capture.h"
#include "consumer_world.h"
#include "files.h"

#include "consumer/holders.h"
#include <signal.h>
#include <sys/wait.h>

#define S3 "s3://bucket/key"

static void restart(void) {
    world_kill();
    world.now += 3000;
    world_start();
    world_join();
}

static struct id128 upload_with_a_lease(void) {
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 3);
    world_claim('U', world_ref(JOB_CHUNK, id, 0), "H");
    return id;
}

/* Rule 6: for one lease time, jobs of uploads that were open when the last epoch ended are granted
 * only to uploaders that claim them as `held`. */
static void test_holders_of_the_last_epoch_come_first(void **state) {
    (void)state;
    struct id128 id = upload_with_a_lease();
    struct ref chunk = world_ref(JOB_CHUNK, id, 0);
    restart();
    world.now += 1000;
    struct verdict v = world_claim('V', chunk, "H");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_GRACE);
    assert_int_equal(v.after_ms, world.o.lease_ms - 1000);
    assert_int_equal(world_claim('V', world_ref(JOB_ABORT, id, 0), "H").why, WHY_GRACE);
    assert_int_equal(world_claim_held('U', chunk, "H", true).kind, VERDICT_GRANT);
    assert_int_equal(world_claim_held('V', chunk, "H", true).why, WHY_HELD);
    world_advance(world.o.lease_ms - 1000);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 1), "H").kind, VERDICT_GRANT);
}

/* An upload is not given to be aborted while the producer that wants it may return. */
static void test_a_drop_waits_for_the_grace(void **state) {
    (void)state;
    struct id128 id = upload_with_a_lease();
    restart();
    struct plan_file file = world_file("/src/a", S3, 0);
    file.upload = id;
    file.drop = true;
    struct planned_file p = world_plan('P', &file);
    assert_true(id_is_zero(&p.upload) && id_is_zero(&p.superseded));
    world_advance(world.o.lease_ms);
    p = world_plan('P', &file);
    assert_true(id_equal(&p.superseded, &id));
}

static void test_a_heartbeat_adopts_its_leases(void **state) {
    (void)state;
    struct id128 id = upload_with_a_lease(), unknown = {{3}};
    struct ref refs[] = {world_ref(JOB_CHUNK, id, 0), world_ref(JOB_CHUNK, id, 7), world_ref(JOB_PUT, unknown, 0),
                         world_ref(JOB_FINISH, id, 0)};
    restart();
    world_beat('U', refs, 4, 0);
    const struct msg_beat *beat = &world_answer('U', MSG_BEAT)->beat;
    assert_int_equal(beat->invalid_count, 2); /* no such chunk; not all chunks recorded */
    assert_int_equal(beat->invalid[0].chunk, 7);
    assert_int_equal(beat->invalid[1].kind, JOB_FINISH);
    assert_int_equal(consumer_lease_count(world.c), 1);
    world_beat('V', refs, 1, 0);
    assert_int_equal(world_invalid('V'), 1);
    world_advance(world.o.lease_ms);
    world_beat('U', refs + 2, 1, 0); /* no producer planned it again: it ended */
    assert_int_equal(world_invalid('U'), 1);
}

static void test_new_uploads_never_wait(void **state) {
    (void)state;
    upload_with_a_lease();
    restart();
    world_begun('P', 'V', "/src/new", "s3://bucket/new", 2);
}

static void test_nothing_waits_after_a_clean_stop(void **state) {
    (void)state;
    struct id128 id = upload_with_a_lease();
    world_release('U', world_ref(JOB_CHUNK, id, 0), WHY_DRAIN);
    bool clean;
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_true(clean);
    assert_non_null(world_last('P', MSG_ERROR)); /* all peers are told */
    restart();
    assert_int_equal(world_count("stop"), 1);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
}

/* `stop` is written only when no lease lives. */
static void test_no_clean_stop_while_a_lease_lives(void **state) {
    (void)state;
    struct id128 id = upload_with_a_lease();
    bool clean;
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    assert_false(clean);
    restart();
    world_bye('U');
    world_bye('V');
    assert_int_equal(consumer_stop(world.c, &clean), 0); /* a holder of the last epoch may live */
    assert_false(clean);
    restart();
    assert_int_equal(world_count("stop"), 0);
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").why, WHY_GRACE);
    consumer_skip_grace(world.c); /* all former holders are known to be dead */
    assert_int_equal(world_claim('V', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
}

/* A COMPLETE that is resent after the restart is recorded, or found recorded. */
static void test_completes_are_judged_without_leases(void **state) {
    (void)state;
    struct id128 id = upload_with_a_lease();
    world_done('U', world_ref(JOB_CHUNK, id, 0), "H");
    restart();
    assert_int_equal(world_done('U', world_ref(JOB_CHUNK, id, 0), "H").kind, ACK_RECORDED);
    assert_int_equal(world_done('U', world_ref(JOB_CHUNK, id, 1), "H").kind, ACK_RECORDED);
    assert_int_equal(world_count("chunk"), 2);
}

/* The journal has no geometry for an intent: a resent begin waits for its producer's plan. */
static void test_a_begin_waits_for_its_plan(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0);
    world_claim('U', begin, "");
    restart();
    struct result r = world_result(begin, "H");
    struct msg m = {.type = MSG_COMPLETE};
    m.complete = (struct msg_complete){.results = &r, .result_count = 1};
    world_deliver('U', &m);
    assert_int_equal(world_answer('U', MSG_ACK)->ack.ack_count, 0);
    struct planned_file p = world_plan('P', &file);
    assert_int_equal(p.state, PLANNED_OPENING);
    assert_true(id_equal(&p.upload, &begin.upload));
    assert_int_equal(world_complete('U', &r).kind, ACK_RECORDED);
    assert_int_equal(world_plan('P', &file).state, PLANNED_OPEN);
}

static void test_a_superseded_intent_waits_for_the_grace(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    world_claim('U', world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0), "");
    restart();
    file.source.path = slice_of("/src/b");
    struct planned_file p = world_plan('P', &file);
    struct ref abort = world_ref(JOB_ABORT, p.superseded, 0);
    assert_true(p.superseded_opened);
    assert_int_equal(world_claim('V', abort, "").why, WHY_GRACE); /* its begin may be under way */
    world_advance(world.o.lease_ms);
    assert_int_equal(world_claim('V', abort, "").kind, VERDICT_GRANT);
    assert_int_equal(world_done('V', abort, "").kind, ACK_RECORDED);
    p = world_plan('P', &file);
    assert_true(id_is_zero(&p.superseded));
    assert_int_equal(world_count("abort"), 1);
}

/* ---- snapshots ---- */

static void test_no_snapshot_is_written_without_a_rotation(void **state) {
    (void)state;
    upload_with_a_lease();
    world_advance(1000);
    assert_int_equal(world.c->snapshot_writer.child, 0);
    assert_false(file_exists(JOURNAL_DIR "/" SNAPSHOT_NAME));
}

static const char *log_of_start(void) {
    static struct capture c;
    log_setup("test", LOG_DEBUG, false);
    world_kill();
    capture_begin(&c, STDERR_FILENO);
    world_start();
    return capture_end(&c);
}

static void test_only_a_snapshot_that_cannot_be_used_is_logged(void **state) {
    (void)state;
    upload_with_a_lease();
    assert_null(strstr(log_of_start(), "snapshot is not used")); /* there is none */
    ledger_save_snapshot(world.c);
    assert_null(strstr(log_of_start(), "snapshot is not used"));
    file_put_text(JOURNAL_DIR "/" SNAPSHOT_NAME, "nonsense");
    assert_non_null(strstr(log_of_start(), "snapshot is not used"));
    assert_int_equal(world.c->state.count, 1);
}

static void test_a_file_in_place_of_the_journal_is_logged_once(void **state) {
    (void)state;
    static struct capture c;
    world_kill();
    dir_remove(JOURNAL_DIR);
    file_put_text(JOURNAL_DIR, "mine");
    capture_begin(&c, STDERR_FILENO);
    int err = consumer_new(&world.c, &world.o, world.now);
    const char *said = capture_end(&c);
    assert_int_equal(unlink(JOURNAL_DIR), 0);
    world_start();
    assert_int_not_equal(err, 0);
    assert_non_null(strchr(said, '\n'));
    assert_string_equal(strchr(said, '\n'), "\n");
}

/* ---- DIR/consumer ---- */

static void write_former(const char *boot, pid_t pid, uint64_t starttime) {
    struct consumer_holder holder = {.pid = pid, .starttime = starttime};
    struct consumer_file f = {.endpoint = "ipc:///x", .pid = 4000000, .holders = &holder, .holder_count = pid ? 1 : 0};
    snprintf(f.boot, sizeof f.boot, "%s", boot);
    assert_int_equal(consumer_file_write(JOURNAL_DIR, &f), 0);
}

static bool gone(bool clean) {
    struct holders h;
    holders_init(&h, JOURNAL_DIR, clean);
    bool all = holders_are_gone(&h);
    holders_release(&h);
    return all;
}

static void test_dead_holders_are_recognized(void **state) {
    (void)state;
    uint64_t started;
    pid_t living = fork(); /* this process can be process 1 of a namespace, which stands for an unknown one */
    if (living == 0) {
        pause();
        _exit(0);
    }
    assert_true(living > 1);
    const char *other = "0123456789abcdef0123456789abcdef";
    assert_int_equal(process_starttime(living, &started), 0);
    assert_false(gone(false)); /* no file: the holders are not known */
    assert_true(gone(true));
    write_former(boot_id(), living, started);
    assert_false(gone(false));
    write_former(boot_id(), living, started + 1); /* the pid was reused */
    assert_true(gone(false));
    write_former(boot_id(), 4000001, 5);
    assert_true(gone(false));
    write_former(boot_id(), 1, 0); /* a holder that cannot be checked */
    assert_false(gone(false));
    write_former(boot_id(), 0, 0); /* there were no holders */
    assert_true(gone(false));
    write_former(other, 4000001, 5);
    assert_false(gone(false));
    assert_int_equal(kill(living, SIGKILL), 0);
    assert_int_equal(waitpid(living, NULL, 0), living);
}

static bool has_holder(pid_t pid) {
    struct consumer_file f;
    bool found = false;
    assert_int_equal(consumer_file_read(JOURNAL_DIR, &f), 0);
    for (size_t i = 0; i < f.holder_count; i++)
        found = found || f.holders[i].pid == pid;
    consumer_file_release(&f);
    return found;
}

static void hello_of_process(char peer, enum role role, const char *boot, pid_t pid, uint64_t starttime) {
    struct msg m = {.type = MSG_HELLO};
    m.hello = (struct msg_hello){
        .role = role, .host = slice_of("host"), .boot = slice_of(boot), .pid = (uint64_t)pid, .starttime = starttime};
    world_deliver(peer, &m);
    world_answer(peer, MSG_WELCOME);
}

/* Holders are real processes here: a process that is not visible is not written as a holder. */
static void test_living_holders_of_the_last_epoch_stay_in_the_file(void **state) {
    (void)state;
    uint64_t ours, its;
    struct holders h;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        for (;;)
            pause();
    assert_int_equal(process_starttime(getpid(), &ours), 0);
    assert_int_equal(process_starttime(child, &its), 0);
    hello_of_process('P', ROLE_PRODUCER, boot_id(), getpid(), ours);
    hello_of_process('U', ROLE_UPLOADER, boot_id(), child, its);
    write_former(boot_id(), getpid(), ours);
    holders_init(&h, JOURNAL_DIR, false);
    assert_int_equal(holders_write(&h, "ipc:///y", consumer_peers(world.c), false), 0);
    bool uploader = has_holder(child), producer = has_holder(getpid()), unknown = has_holder(1);
    assert_int_equal(holders_write(&h, "ipc:///y", consumer_peers(world.c), true), 0);
    bool former = has_holder(getpid());
    hello_of_process('W', ROLE_UPLOADER, "away", 5, 5);
    assert_int_equal(holders_write(&h, "ipc:///y", consumer_peers(world.c), false), 0);
    bool far = has_holder(1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(uploader && former && far);
    assert_false(producer || unknown); /* a producer holds no lease; after the grace period no former holder does */
    holders_remove(&h);
    assert_int_equal(access(JOURNAL_DIR "/consumer", F_OK), -1);
    holders_release(&h);
}

/* The holder keeps its lease while its result waits. */
static void test_a_result_that_waits_leaves_its_lease(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0);
    world_claim('U', begin, "");
    restart();
    world_beat('U', &begin, 1, 8);
    assert_int_equal(consumer_lease_count(world.c), 1);
    struct result r = world_result(begin, "H");
    struct msg m = {.type = MSG_COMPLETE, .complete = {.results = &r, .result_count = 1}};
    world_deliver('U', &m);
    assert_int_equal(world_answer('U', MSG_ACK)->ack.ack_count, 0);
    assert_int_equal(consumer_lease_count(world.c), 1);
}

static void test_a_journal_that_is_a_file_is_one_error(void **state) {
    static struct capture c;
    struct consumer *none;
    struct consumer_options o = world.o;
    (void)state;
    file_put_text("file", "");
    o.dir = "file";
    log_setup("test", LOG_DEBUG, false);
    capture_begin(&c, STDERR_FILENO);
    int err = consumer_new(&none, &o, world.now);
    const char *text = capture_end(&c);
    assert_int_not_equal(err, 0);
    assert_null(none);
    assert_null(strstr(text, "snapshot"));
    assert_int_equal(remove("file"), 0);
}

UNIT_MAIN(WORLD_TEST(test_a_drop_waits_for_the_grace), WORLD_TEST(test_holders_of_the_last_epoch_come_first),
          WORLD_TEST(test_a_heartbeat_adopts_its_leases), WORLD_TEST(test_new_uploads_never_wait),
          WORLD_TEST(test_nothing_waits_after_a_clean_stop), WORLD_TEST(test_no_clean_stop_while_a_lease_lives),
          WORLD_TEST(test_completes_are_judged_without_leases), WORLD_TEST(test_a_begin_waits_for_its_plan),
          WORLD_TEST(test_a_superseded_intent_waits_for_the_grace),
          WORLD_TEST(test_no_snapshot_is_written_without_a_rotation),
          WORLD_TEST(test_only_a_snapshot_that_cannot_be_used_is_logged), WORLD_TEST(test_dead_holders_are_recognized),
          WORLD_TEST(test_living_holders_of_the_last_epoch_stay_in_the_file),
          WORLD_TEST(test_a_file_in_place_of_the_journal_is_logged_once),
          WORLD_TEST(test_a_result_that_waits_leaves_its_lease), WORLD_TEST(test_a_journal_that_is_a_file_is_one_error))
