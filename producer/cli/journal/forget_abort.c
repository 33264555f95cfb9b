#include "producer/cli/journal/forget_abort.h"

#include "producer/cli/errand.h"
#include "pure/text.h"
#include "system/json_line.h"
#include "system/log.h"
#include <stdio.h>

#define SLOTS 8

struct aborting {
    const struct forget_abort_options *o;
};

static void aborting_on_done(void *arg, const struct producer_file_view *file, double seconds) {
    const struct aborting *a = arg;
    char id[ID_HEX_SIZE];
    struct buf text = BUF_INIT;
    struct json_line l;
    (void)seconds;
    id_to_hex(&file->upload, id);
    if (a->o->json) {
        json_line_begin(&l, "aborted");
        json_line_id(&l, "upload", &file->upload);
        json_line_name(&l, "dest", slice_of(file->dest));
        (void)!json_line_end(&l);
    } else if (!text_add_printable(&text, slice_of(file->dest))) {
        printf("aborted: %s  %s\n", id, text.data);
    }
    fflush(stdout);
    buf_release(&text);
}

static void aborting_on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg, (void)class;
    log_error("%s: its upload cannot be aborted: %s", path, reason);
}

static void aborting_on_notice(void *arg, const char *text) {
    (void)arg;
    log_info("%s", text);
}

int forget_abort(const struct forget_abort_options *o) {
    struct aborting a = {.o = o};
    const struct errand_options errand = {.journal_dir = o->journal_dir,
                                          .consumer = o->consumer,
                                          .endpoint_url = o->endpoint_url,
                                          .region = o->region,
                                          .profile = o->profile,
                                          .access = o->access,
                                          .uploaders = 1,
                                          .slots = SLOTS,
                                          .retry_for_ms = o->retry_for_ms,
                                          .keys = o->keys,
                                          .quiet = o->quiet,
                                          .verbose = o->verbose};
    const struct producer_config config = {.drops = o->drops, .drop_count = o->count};
    const struct producer_events events = {
        .arg = &a, .file_done = aborting_on_done, .file_failed = aborting_on_failed, .notice = aborting_on_notice};
    return errand_run(&errand, &config, &events);
}
