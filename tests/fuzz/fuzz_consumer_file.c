/* Any bytes as DIR/consumer. An accepted file is within its bounds, and reads the same when it is written again. Seeds:
 * corpus/consumer_file. */
#include "pure/check.h"
#include "pure/ids.h"
#include "scratch.h"
#include "system/dirs.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define PID_LIMIT 4194304

static void check_bounds(const struct consumer_file *f) {
    struct id128 boot;
    size_t len = strnlen(f->endpoint, sizeof f->endpoint);
    CHECK(len > 6 && len < sizeof f->endpoint && !memchr(f->endpoint, '\n', len));
    CHECK(strncmp(f->endpoint, "ipc://", 6) == 0 || strncmp(f->endpoint, "tcp://", 6) == 0);
    CHECK(f->pid > 0 && f->pid <= PID_LIMIT);
    CHECK(f->boot[0] == '\0' || (f->boot[32] == '\0' && id_from_hex(&boot, slice_of(f->boot)) == 0));
    CHECK((f->holder_count == 0) == (f->holders == NULL));
    for (size_t i = 0; i < f->holder_count; i++)
        CHECK(f->holders[i].pid > 0 && f->holders[i].pid <= PID_LIMIT);
}

static void check_same(const struct consumer_file *a, const struct consumer_file *b) {
    CHECK(strcmp(a->endpoint, b->endpoint) == 0 && a->pid == b->pid && strcmp(a->boot, b->boot) == 0);
    CHECK(a->holder_count == b->holder_count);
    for (size_t i = 0; i < a->holder_count; i++)
        CHECK(a->holders[i].pid == b->holders[i].pid && a->holders[i].starttime == b->holders[i].starttime);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct consumer_file f, again;
    scratch_write("consumer", slice_make(bytes, size));
    int err = consumer_file_read(scratch_dir(), &f);
    if (err) {
        CHECK(err == ERR_INVALID && f.holders == NULL && f.holder_count == 0);
    } else {
        check_bounds(&f);
        CHECK(consumer_file_write(scratch_dir(), &f) == 0);
        CHECK(consumer_file_read(scratch_dir(), &again) == 0);
        check_same(&f, &again);
        consumer_file_release(&again);
        consumer_file_release(&f);
    }
    return 0;
}
