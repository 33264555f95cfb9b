/* journal_open on torn tails, damage and missing files. journal_known_test.c has the starts with a snapshot. */
#include "journal_support.h"

#include <time.h>

/* Opens the journal. Its records are the first `good` lines; the rest of `bytes` is in a side
 * file. */
static void opens_with(const struct buf *bytes, uint64_t good) {
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    assert_int_equal(s.count, good);
    journal_commit_chunks(j, 50, 1);
    assert_verifies(DIR_NAME, good + 2);
    journal_close(&j);
    size_t end = line_start(bytes, good + 1);
    struct buf now = file_bytes(ACTIVE);
    assert_memory_equal(now.data, bytes->data, end);
    buf_release(&now);
    const char *side = dir_find(DIR_NAME, "torn-");
    if (end == bytes->len) {
        assert_null(side);
        return;
    }
    assert_non_null(side);
    char wanted[64];
    snprintf(wanted, sizeof wanted, DIR_NAME "/torn-%llu-20", (unsigned long long)good + 1);
    assert_memory_equal(side, wanted, strlen(wanted));
    struct buf kept = file_bytes(side);
    assert_int_equal(kept.len, bytes->len - end);
    assert_memory_equal(kept.data, bytes->data + end, kept.len);
    buf_release(&kept);
}

static void test_torn_tail_at_every_byte(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    stderr_begin();
    for (size_t len = line_start(&all, 5); len <= all.len; len++) {
        struct buf torn = {all.data, len, len};
        uint64_t good = 4;
        while (good < 7 && line_start(&all, good + 2) <= len)
            good++;
        journal_put(buf_slice(&torn));
        opens_with(&torn, good);
    }
    struct buf said = stderr_end();
    buf_release(&said);
    buf_release(&all);
}

static void test_torn_first_line_begins_anew(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    size_t first = line_start(&all, 2);
    stderr_begin();
    for (size_t len = 0; len < first; len++) {
        journal_put(slice_make(all.data, len));
        struct buf torn = {all.data, len, len};
        struct seen s;
        struct journal_options o = seen_options(&s);
        struct journal *j = journal_open_ok(&o);
        assert_int_equal(s.count, 0);
        assert_int_equal(journal_epoch(j), 1);
        assert_verifies(DIR_NAME, 1);
        journal_close(&j);
        if (len) {
            struct buf kept = file_bytes(dir_find(DIR_NAME, "torn-1-"));
            assert_true(slice_equal(buf_slice(&kept), buf_slice(&torn)));
            buf_release(&kept);
        }
    }
    struct buf said = stderr_end();
    buf_release(&said);
    buf_release(&all);
}

/* A changed byte in the last batch: the lines before it stay; the rest goes to a side file. */
static void test_changed_byte_in_the_last_batch_is_cut(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    static const char masks[] = {1, (char)0x80, '\n'};
    stderr_begin();
    for (size_t at = line_start(&all, 5); at < all.len; at++) {
        uint64_t good = 4;
        while (good < 7 && line_start(&all, good + 2) <= at)
            good++;
        for (size_t m = 0; m < sizeof masks; m++) {
            char kept = all.data[at];
            all.data[at] = masks[m] == '\n' ? '\n' : (char)(kept ^ masks[m]);
            if (all.data[at] != kept) {
                journal_put(buf_slice(&all));
                opens_with(&all, good);
            }
            all.data[at] = kept;
        }
    }
    struct buf said = stderr_end();
    buf_release(&said);
    buf_release(&all);
}

/* The same in an earlier batch: no file changes; the message names file and line. */
static void test_changed_byte_in_an_earlier_batch_refuses(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    static const char masks[] = {1, (char)0x80, '\n'};
    for (size_t at = 0, end = line_start(&all, 5); at < end; at++) {
        uint64_t line = 1;
        while (line_start(&all, line + 1) <= at)
            line++;
        for (size_t m = 0; m < sizeof masks; m++) {
            char kept = all.data[at];
            all.data[at] = masks[m] == '\n' ? '\n' : (char)(kept ^ masks[m]);
            if (all.data[at] != kept) {
                journal_put(buf_slice(&all));
                journal_refuses(ACTIVE, line, ERR_DAMAGED);
            }
            all.data[at] = kept;
        }
    }
    buf_release(&all);
}

/* An acknowledged batch of one line after the damage, which includes its newline. */
static void test_one_line_batches(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 12; i++) /* batches 9, 10: one digit more */
        journal_commit_chunks(j, i, 1);
    journal_close(&j);
    struct buf all = journal_bytes(DIR_NAME);
    for (uint64_t line = 8; line <= 12; line++)
        for (size_t at = line_start(&all, line); at < line_start(&all, line + 1); at++) {
            char kept = all.data[at];
            all.data[at] = (char)(kept ^ 1);
            journal_put(buf_slice(&all));
            journal_refuses(ACTIVE, line, ERR_DAMAGED);
            all.data[at] = kept;
        }
    buf_release(&all);
}

static void test_missing_line_in_the_middle_refuses(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    for (uint64_t line = 1; line <= 4; line++) {
        size_t from = line_start(&all, line), to = line_start(&all, line + 1);
        struct buf cut = BUF_INIT;
        assert_int_equal(buf_add(&cut, all.data, from), 0);
        assert_int_equal(buf_add(&cut, all.data + to, all.len - to), 0);
        journal_put(buf_slice(&cut));
        journal_refuses(ACTIVE, line, ERR_DAMAGED);
        buf_release(&cut);
    }
    buf_release(&all);
}

static void test_zeros_where_the_last_batch_was(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    size_t from = line_start(&all, 5);
    memset(all.data + from, 0, all.len - from);
    journal_put(buf_slice(&all));
    stderr_begin();
    opens_with(&all, 4);
    struct buf said = stderr_end();
    assert_contains(&said, "torn-5-");
    buf_release(&said);
    buf_release(&all);
}

static void test_more_than_a_batch_of_garbage_refuses(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    char *garbage = calloc(1, JOURNAL_BATCH_MAX + 1);
    assert_int_equal(buf_add(&all, garbage, JOURNAL_BATCH_MAX + 1), 0);
    journal_put(buf_slice(&all));
    journal_refuses(ACTIVE, 8, ERR_DAMAGED);
    all.len--;
    journal_put(buf_slice(&all));
    stderr_begin();
    opens_with(&all, 7);
    struct buf said = stderr_end();
    buf_release(&said);
    free(garbage);
    buf_release(&all);
}

static void test_file_that_is_no_journal_refuses(void **state) {
    (void)state;
    static const char *const texts[] = {"hello\n", "{}\n", "{\"seq\":2,\"batch\":1,", "\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        journal_put(slice_of(texts[i]));
        journal_refuses(ACTIVE, 1, ERR_DAMAGED);
    }
}

static void make_line(struct buf *out, const char *head, char h[ID_HEX_SIZE]) {
    struct digest *sha;
    uint8_t sum[SHA256_SIZE];
    assert_int_equal(digest_new(&sha, DIGEST_SHA256), 0);
    assert_int_equal(digest_begin(sha), 0);
    assert_int_equal(digest_add(sha, h, ID_HEX_LEN), 0);
    assert_int_equal(digest_add(sha, head, strlen(head)), 0);
    assert_int_equal(digest_end(sha, sum), 0);
    digest_destroy(&sha);
    hex_encode(sum, 16, h);
    assert_int_equal(buf_addf(out, "%s,\"h\":\"%s\"}\n", head, h), 0);
}

#define ZEROS "00000000000000000000000000000000"
#define EPOCH_LINE(version)                                                                                            \
    "{\"seq\":1,\"batch\":1,\"ts\":\"2100-01-01T00:00:00.000000Z\",\"ev\":\"epoch\",\"epoch\":4,"                      \
    "\"journal\":\"0123456789abcdef0123456789abcdef\",\"version\":" version

static void test_newer_version_is_refused(void **state) {
    (void)state;
    char h[ID_HEX_SIZE] = ZEROS;
    struct buf b = BUF_INIT;
    make_line(&b, EPOCH_LINE("2"), h);
    journal_put(buf_slice(&b));
    journal_refuses(ACTIVE, 0, ERR_VERSION);
    buf_clear(&b);
    memcpy(h, ZEROS, sizeof h);
    make_line(&b, EPOCH_LINE("1"), h);
    make_line(&b, "{\"seq\":2,\"batch\":2,\"ts\":\"2100-01-01T00:00:00.000000Z\",\"ev\":\"dance\"", h);
    journal_put(buf_slice(&b));
    journal_refuses(ACTIVE, 2, ERR_VERSION);
    /* The same after damage: it cannot be read, but it exists. */
    make_line(&b, "{\"seq\":3,\"batch\":3,\"ts\":\"2100-01-01T00:00:00.000000Z\",\"ev\":\"dance\"", h);
    b.data[line_start(&b, 2) + 30] ^= 1;
    journal_put(buf_slice(&b));
    journal_refuses(ACTIVE, 2, ERR_DAMAGED);
    buf_release(&b);
}

static void test_time_never_goes_back(void **state) {
    (void)state;
    char h[ID_HEX_SIZE] = ZEROS;
    struct buf b = BUF_INIT;
    make_line(&b, EPOCH_LINE("1"), h);
    journal_put(buf_slice(&b));
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    assert_int_equal(journal_epoch(j), 5);
    journal_close(&j);
    struct seen s;
    o = seen_options(&s);
    j = journal_open_ok(&o);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.last_ts_us, 4102444800000000);
    journal_close(&j);
    buf_release(&b);
}

/* --- files --- */
static uint64_t many_files(void) {
    dir_remove(DIR_NAME);
    for (int life = 0; life < 3; life++) { /* so that epoch records are at several places */
        struct journal_options o = seen_options(NULL);
        o.rotate_bytes = 2000;
        struct journal *j = journal_open_ok(&o);
        for (uint32_t i = 0; i < 20; i++)
            journal_commit_chunks(j, i, 1);
        journal_close(&j);
    }
    struct buf all = journal_bytes(DIR_NAME);
    uint64_t lines = 0;
    for (size_t i = 0; i < all.len; i++)
        lines += all.data[i] == '\n';
    buf_release(&all);
    return lines;
}

static void test_missing_or_empty_active_file_is_made_again(void **state) {
    (void)state;
    for (int empty = 0; empty < 2; empty++) {
        many_files();
        struct buf active = file_bytes(ACTIVE);
        uint64_t first = strtoull(active.data + 7, NULL, 10);
        buf_release(&active);
        assert_int_equal(unlink(ACTIVE), 0);
        if (empty)
            file_put(ACTIVE, slice_of(""));
        file_put(DIR_NAME "/tmp-journal-active", slice_of("left over"));
        struct seen s;
        struct journal_options o = seen_options(&s);
        struct journal *j = journal_open_ok(&o);
        assert_int_equal(s.count, first - 1);
        assert_int_equal(journal_seq(j), first + 1); /* segment, epoch */
        assert_verifies(DIR_NAME, first + 1);
        assert_null(dir_find(DIR_NAME, "tmp-"));
        journal_close(&j);
    }
}

static void test_stale_temporary_files_are_removed(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    file_put(DIR_NAME "/tmp-journal-active", slice_of("left over"));
    file_put(DIR_NAME "/tmp-snapshot", slice_of("left over"));
    file_put(DIR_NAME "/tmp-of-somebody-else", slice_of("kept"));
    opens_with(&all, 7);
    assert_string_equal(dir_find(DIR_NAME, "tmp-"), DIR_NAME "/tmp-of-somebody-else");
    buf_release(&all);
}

static void test_torn_only_line_of_the_active_file(void **state) {
    (void)state;
    many_files();
    struct buf active = file_bytes(ACTIVE);
    uint64_t first = strtoull(active.data + 7, NULL, 10);
    stderr_begin();
    for (size_t len = 1; len < line_start(&active, 2); len += 9) {
        file_put(ACTIVE, slice_make(active.data, len));
        struct seen s;
        struct journal_options o = seen_options(&s);
        struct journal *j = journal_open_ok(&o);
        assert_int_equal(s.count, first - 1);
        assert_verifies(DIR_NAME, first + 1);
        journal_close(&j);
    }
    struct buf said = stderr_end();
    buf_release(&said);
    buf_release(&active);
}

static void test_damage_in_a_sealed_file_refuses_even_at_its_end(void **state) {
    (void)state;
    many_files();
    struct journal_files list;
    assert_int_equal(journal_files_list(DIR_NAME, &list), 0);
    assert_true(list.count > 3);
    for (size_t i = 0; i + 1 < list.count; i++) {
        char path[512];
        snprintf(path, sizeof path, DIR_NAME "/%s", list.files[i].name);
        struct buf whole = file_bytes(path);
        uint64_t lines = 0;
        for (size_t at = 0; at < whole.len; at++)
            lines += whole.data[at] == '\n';
        file_put(path, slice_make(whole.data, whole.len - 1));
        journal_refuses(path, lines, ERR_DAMAGED);
        file_put(path, buf_slice(&whole));
        buf_release(&whole);
    }
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    journal_close(&j);
    journal_files_release(&list);
}

static void assert_reason(const char *path, struct slice bytes, const char *reason) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = NULL;
    file_put(path, bytes);
    stderr_begin();
    assert_int_equal(journal_open(&j, &o), ERR_DAMAGED);
    struct buf said = stderr_end();
    assert_contains(&said, reason);
    buf_release(&said);
}

static void test_the_reason_tells_a_line_that_is_too_long_from_one_that_is_cut(void **state) {
    (void)state;
    static char line[70000];
    many_files();
    const char *first = DIR_NAME "/journal.00000000000000000001.jsonl";
    struct buf whole = file_bytes(first);
    assert_reason(first, slice_make(whole.data, whole.len - 1), ": the last line has no newline; ");
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    assert_reason(first, slice_make(line, sizeof line), ":1: a line longer than 65536 bytes; ");
    buf_release(&whole);
}

static void test_missing_sealed_file(void **state) {
    (void)state;
    uint64_t last = many_files();
    struct journal_files list;
    assert_int_equal(journal_files_list(DIR_NAME, &list), 0);
    char path[512], next[512];
    snprintf(path, sizeof path, DIR_NAME "/%s", list.files[1].name);
    snprintf(next, sizeof next, DIR_NAME "/%s", list.files[2].name);
    assert_int_equal(rename(path, "elsewhere"), 0);
    journal_refuses(next, 1, ERR_DAMAGED);
    assert_int_equal(rename("elsewhere", path), 0);
    snprintf(path, sizeof path, DIR_NAME "/%s", list.files[0].name);
    assert_int_equal(unlink(path), 0);
    struct seen s;
    struct journal_options o = seen_options(&s);
    stderr_begin();
    struct journal *j = journal_open_ok(&o);
    struct buf said = stderr_end();
    assert_contains(&said, "starts at seq");
    assert_int_equal(s.first, list.files[1].first_seq);
    assert_int_equal(s.last, last);
    assert_int_equal(journal_epoch(j), 4);
    journal_close(&j);
    buf_release(&said);
    journal_files_release(&list);
}

static void test_journal_without_any_epoch_is_refused(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 1000;
    struct journal *j = journal_open_ok(&o);
    for (uint32_t i = 0; i < 20; i++)
        journal_commit_chunks(j, i, 1);
    struct journal_position pos;
    journal_position(j, &pos);
    journal_close(&j);
    const char *first = DIR_NAME "/journal.00000000000000000001.jsonl";
    assert_int_equal(unlink(first), 0);
    journal_refuses(ACTIVE, 0, ERR_DAMAGED);
    struct seen s; /* a snapshot has all that is needed, unless it has no epoch */
    o = seen_options(&s);
    o.known = pos;
    o.known.epoch = 0;
    stderr_begin();
    assert_int_equal(journal_open(&j, &o), ERR_DAMAGED);
    struct buf said = stderr_end();
    assert_contains(&said, "no epoch record in any file");
    buf_release(&said);
    o = seen_options(&s);
    o.known = pos;
    j = journal_open_ok(&o);
    assert_int_equal(s.count + (uint64_t)s.rejected, 0);
    assert_int_equal(journal_epoch(j), 2);
    assert_true(id_equal(journal_id(j), &pos.journal));
    journal_close(&j);
}

/* A file system can leave a new file with its size and without its content. */
static void test_zeros_in_place_of_the_first_line_begin_anew(void **state) {
    (void)state;
    static const char zeros[500];
    dir_remove(DIR_NAME);
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    file_put(ACTIVE, slice_make(zeros, sizeof zeros));
    struct journal_options o = seen_options(NULL);
    stderr_begin();
    struct journal *j = journal_open_ok(&o);
    struct buf said = stderr_end(), kept = file_bytes(dir_find(DIR_NAME, "torn-1-"));
    assert_int_equal(journal_epoch(j), 1);
    assert_verifies(DIR_NAME, 1);
    assert_true(slice_equal(buf_slice(&kept), slice_make(zeros, sizeof zeros)));
    journal_close(&j);
    buf_release(&said);
    buf_release(&kept);
}

static void test_a_side_file_has_the_day_in_its_name(void **state) {
    (void)state;
    char before[32], after[32];
    time_t now = time(NULL);
    journal_put(slice_of("{\"seq\":1,"));
    assert_true(strftime(before, sizeof before, "torn-1-%Y%m%dT", gmtime(&now)) > 0);
    struct journal_options o = seen_options(NULL);
    stderr_begin();
    struct journal *j = journal_open_ok(&o);
    struct buf said = stderr_end();
    now = time(NULL); /* midnight may be between the two */
    assert_true(strftime(after, sizeof after, "torn-1-%Y%m%dT", gmtime(&now)) > 0);
    assert_true(dir_find(DIR_NAME, before) || dir_find(DIR_NAME, after));
    journal_close(&j);
    buf_release(&said);
}

/* Its batch is durable under its name before the epoch is written. */
static void test_the_segment_line_of_a_new_active_file_is_a_batch(void **state) {
    (void)state;
    many_files();
    assert_int_equal(unlink(ACTIVE), 0);
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_close(&j);
    struct buf active = file_bytes(ACTIVE);
    unsigned long long batch[2];
    for (uint64_t line = 0; line < 2; line++) {
        const char *at = strstr(active.data + (line ? strcspn(active.data, "\n") : 0), "\"batch\":");
        assert_non_null(at);
        batch[line] = strtoull(at + 8, NULL, 10);
    }
    assert_int_equal(batch[1], batch[0] + 1);
    buf_release(&active);
}

/* Lines of a newer program are acknowledged lines too. */
static void test_unknown_events_of_a_later_batch_are_not_cut(void **state) {
    (void)state;
    struct buf all = journal_three_batches();
    for (char *at = all.data + line_start(&all, 5); (at = strstr(at, "\"ev\":\"chunk\""));)
        at[10] = 'q';
    all.data[line_start(&all, 3) + 40] ^= 1;
    journal_put(buf_slice(&all));
    journal_refuses(ACTIVE, 3, ERR_DAMAGED);
    buf_release(&all);
}

UNIT_MAIN(TEST(test_torn_tail_at_every_byte), TEST(test_torn_first_line_begins_anew),
          TEST(test_changed_byte_in_the_last_batch_is_cut), TEST(test_changed_byte_in_an_earlier_batch_refuses),
          TEST(test_one_line_batches), TEST(test_missing_line_in_the_middle_refuses),
          TEST(test_zeros_where_the_last_batch_was), TEST(test_more_than_a_batch_of_garbage_refuses),
          TEST(test_file_that_is_no_journal_refuses), TEST(test_newer_version_is_refused),
          TEST(test_time_never_goes_back), TEST(test_missing_or_empty_active_file_is_made_again),
          TEST(test_stale_temporary_files_are_removed), TEST(test_torn_only_line_of_the_active_file),
          TEST(test_damage_in_a_sealed_file_refuses_even_at_its_end),
          TEST(test_the_reason_tells_a_line_that_is_too_long_from_one_that_is_cut), TEST(test_missing_sealed_file),
          TEST(test_journal_without_any_epoch_is_refused), TEST(test_zeros_in_place_of_the_first_line_begin_anew),
          TEST(test_a_side_file_has_the_day_in_its_name), TEST(test_the_segment_line_of_a_new_active_file_is_a_batch),
          TEST(test_unknown_events_of_a_later_batch_are_not_cut))
