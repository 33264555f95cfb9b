#include "producer/planner.h"
#include "aws/aws_settings.h"
#include "pure/s3_endpoint.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_FOR_MS 600000u /* the default of --retry-for */

/* --- settings --- */

static int planner_copy_text(char **out, const char *text) {
    *out = slice_dup(slice_of(text ? text : ""));
    return *out ? 0 : ERR_NOMEM;
}

/* Only S3 has an endpoint. */
static int planner_settle_endpoint(struct planner *p, const struct producer_config *config) {
    struct buf url = BUF_INIT;
    int err = 0;
    if (p->sources.scheme == DEST_S3)
        err = aws_endpoint_choose(config->endpoint_url, config->profile, &url);
    if (!err)
        err = planner_copy_text(&p->endpoint, url.data);
    buf_release(&url);
    return err;
}

/* From the option and the environment. The region of a profile is left to the uploaders. */
static int planner_settle_region(struct planner *p, const struct producer_config *config) {
    const char *names[] = {"--region", "AWS_REGION", "AWS_DEFAULT_REGION", NULL};
    const char *values[] = {config->region, aws_environment("AWS_REGION"), aws_environment("AWS_DEFAULT_REGION")};
    struct slice region = {NULL, 0};
    size_t i = 0;
    while (p->sources.scheme == DEST_S3 && names[i] && region.len == 0)
        region = s3_region_trim(slice_of(values[i++]));
    if (region.len && !s3_region_is_valid(region)) {
        log_error("%s %s: not the name of a region; it is made of letters, digits, '-', '_' and '.'", names[i - 1],
                  values[i - 1]);
        return ERR_USAGE;
    }
    p->region = slice_dup(region);
    return p->region ? 0 : ERR_NOMEM;
}

/* A size that is too small is rounded up for file destinations and refused for S3. */
static int planner_settle_chunk_size(struct planner *p, uint64_t wanted) {
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
    p->limits = p->sources.scheme == DEST_S3 ? &geometry_limits_s3 : &geometry_limits_file;
    p->chunk_size = wanted ? wanted : CHUNK_SIZE_DEFAULT;
    bool too_small = p->sources.scheme == DEST_S3 && p->chunk_size < p->limits->chunk_min_bytes;
    if (too_small || p->chunk_size > p->limits->chunk_max_bytes) {
        log_error("--chunk-size: this destination takes chunks of %s to %s",
                  size_format(p->limits->chunk_min_bytes, least), size_format(p->limits->chunk_max_bytes, most));
        return ERR_USAGE;
    }
    return 0;
}

/* Standard input, which is a source without a size. */
static int planner_settle_stream(struct planner *p, const struct producer_config *config) {
    struct timespec now;
    char size[UNITS_TEXT_SIZE];
    uint64_t expected = config->expects_size ? config->expected_size : 0;
    if (!config->from_stdin)
        return 0;
    if (geometry_plan_open(p->limits, expected, p->chunk_size, &p->stream_open)) {
        log_error("--expect-size: this destination takes objects of up to %s",
                  size_format(p->limits->file_max_bytes, size));
        return ERR_USAGE;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    mode_t taken = umask(0);
    (void)umask(taken);
    p->stream_id.mode = S_IFREG | (0666 & ~taken);
    p->stream_id.mtime_ns = p->stream_id.ctime_ns = (nanotime)now.tv_sec * 1000000000 + now.tv_nsec;
    p->expects_size = config->expects_size;
    p->expected_size = config->expected_size;
    p->stats.stream = true;
    return stream_new(&p->stream, STDIN_FILENO, &p->stream_open);
}

static int planner_settle_texts(struct planner *p, const struct producer_config *config) {
    const char *name = config->source_name;
    if (!name && p->stream)
        name = "stdin";
    int err = planner_copy_text(&p->source_name, name);
    if (!err)
        err = planner_copy_text(&p->journal_dir, config->journal_dir);
    if (err)
        return err;
    if (strlen(p->source_name) > PROTO_TEXT_MAX || !utf8_is_valid(slice_of(p->source_name))) {
        log_error("--source-name: at most %d bytes of UTF-8", PROTO_TEXT_MAX);
        return ERR_USAGE;
    }
    return 0;
}

static int planner_settle_questions(struct planner *p, const struct producer_config *config) {
    const char *allow = config->questions.allow;
    int err = sources_init_drops(&p->sources, config->dest);
    if (err || !allow)
        return err;
    free(p->sources.allow);
    return planner_copy_text(&p->sources.allow, allow);
}

static int planner_settle_sources(struct planner *p, const struct producer_config *config) {
    if (config->drop_count)
        return sources_init_drops(&p->sources, config->drops[0].dest);
    if (config->questions.next)
        return planner_settle_questions(p, config);
    if (config->from_stdin)
        return sources_init_stdin(&p->sources, config->dest);
    int err = sources_init(&p->sources, config->sources, config->source_count, config->dest,
                           config->recursive || config->files_from);
    if (err || !config->files_from)
        return err;
    const struct source_item *item = &p->sources.items[0];
    if (p->sources.count != 1 || item->error || !item->directory) {
        log_error("--files-from: needs one SRC, which is a directory");
        return ERR_USAGE;
    }
    return name_list_open(&p->list, config->files_from, config->null_names, item->path, config->follow_links);
}

/* Refuses options that the destination has no use for, and a key that others could read on its way. */
static int planner_settle_properties(struct planner *p, const struct producer_config *config) {
    bool on_s3 = p->sources.scheme == DEST_S3;
    const struct properties *given = &config->properties;
    for (enum property i = 0; !on_s3 && i < PROPERTY_COUNT; i++)
        if (property_get(given, i).len) {
            log_error("--%s: only objects in S3 have this property; leave it out", property_fields[i].option);
            return ERR_USAGE;
        }
    if (!on_s3 && given->metadata_count) {
        log_error("--metadata: only objects in S3 have this property; leave it out");
        return ERR_USAGE;
    }
    if (given->sse_c_md5.len && !s3_url_is_private(slice_of(p->endpoint))) {
        log_error("--sse-c-key: the key would be readable on its way to %s; use https", p->endpoint);
        return ERR_USAGE;
    }
    return object_properties_init(&p->properties, given, !config->no_guess_type, on_s3);
}

/* --- start and end --- */

/* An upload to abort: a file without bytes and without a source. */
static int planner_add_drop(struct planner *p, const struct producer_drop *drop) {
    struct source_identity none = {0};
    struct geometry wanted;
    struct file *f;
    int err = geometry_plan(p->limits, 0, p->chunk_size, &wanted);
    if (!err)
        err = files_add(&p->files, drop->src, drop->dest, &none, &wanted, &f);
    if (err)
        return err;
    f->drop = true;
    files_set_upload(&p->files, f, &drop->upload);
    p->stats.files_seen++;
    return 0;
}

static void planner_set_defaults(struct planner *p, const struct producer_config *config) {
    p->force = config->force;
    p->dry_run = config->dry_run;
    p->compare = config->compare;
    p->check_dest = config->check_dest;
    p->ignore_existing = config->ignore_existing;
    p->if_none_match = config->if_none_match;
    p->selection = config->selection;
    p->follow_links = config->follow_links;
    p->one_file_system = config->one_file_system;
    p->ignore_inode = config->ignore_inode;
    p->resize = config->resize;
    p->max_errors = config->max_errors;
    p->on_change = config->on_change;
    p->integrity = config->integrity;
    p->questions = config->questions;
    p->retry_for_ms = config->retry_for_ms ? config->retry_for_ms : RETRY_FOR_MS;
    p->unserved_wait_ms = config->unserved_wait_ms ? config->unserved_wait_ms : p->retry_for_ms;
    p->unserved_due_ms = UINT64_MAX;
    p->stats.walking = true;
    verify_init(&p->verify);
}

int planner_init(struct planner *p, const struct producer_config *config, const struct producer_events *e) {
    memset(p, 0, sizeof *p);
    if (e)
        p->events = *e;
    planner_set_defaults(p, config);
    int err = planner_settle_sources(p, config);
    if (!err)
        err = planner_settle_endpoint(p, config);
    if (!err)
        err = planner_settle_region(p, config);
    if (!err)
        err = planner_settle_chunk_size(p, config->chunk_size);
    if (!err)
        err = planner_settle_stream(p, config);
    if (!err)
        err = planner_settle_texts(p, config);
    if (!err)
        err = planner_settle_properties(p, config);
    if (!err)
        err = offers_init(&p->offers);
    for (size_t i = 0; !err && i < config->drop_count; i++)
        err = planner_add_drop(p, &config->drops[i]);
    if (err)
        planner_release(p);
    return err;
}

void planner_release(struct planner *p) {
    walk_destroy(&p->walk);
    name_list_close(&p->list);
    stream_destroy(&p->stream);
    verify_release(&p->verify);
    files_release(&p->files);
    offers_release(&p->offers);
    sources_release(&p->sources);
    object_properties_release(&p->properties);
    buf_release(&p->scratch);
    free(p->source_name);
    free(p->journal_dir);
    free(p->endpoint);
    free(p->region);
    free(p->no_bucket);
    memset(p, 0, sizeof *p);
    verify_init(&p->verify); /* it has no file open: releasing p again must not close descriptor 0 */
}

/* --- messages --- */

struct source_ref planner_source(const struct planner *p, const struct file *f) {
    return (struct source_ref){.name = slice_of(p->source_name),
                               .path = slice_of(f->path),
                               .file = f->id,
                               .boot = slice_of(boot_id()),
                               .stream = f->stream != NULL};
}

struct target planner_target(const struct planner *p, const struct file *f) {
    return (struct target){.dest = slice_of(f->dest), .endpoint = slice_of(p->endpoint), .region = slice_of(p->region)};
}

/* --- reports --- */

void planner_view_file(const struct file *f, struct producer_file_view *view) {
    *view = (struct producer_file_view){
        .index = f->index,
        .upload = f->upload,
        .path = f->path,
        .dest = f->dest,
        .size = f->id.size,
        .done_bytes = f->done_bytes,
        .open_ended = f->open_ended && f->end.chunks == 0,
        .chunks = f->done ? f->geometry.chunks : f->wanted_geometry.chunks,
        .chunks_done = f->chunks_done,
        .resumed = f->resumed,
        .verified = f->verified,
        .existing = f->existing,
        .started_ms = f->started_ms,
    };
    if (view->open_ended)
        view->chunks = 0;
}

void planner_notice(struct planner *p, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (p->events.notice)
        p->events.notice(p->events.arg, text);
}

void planner_report_error(struct planner *p, const char *path, enum fail_class class, const char *reason) {
    if (p->events.file_failed)
        p->events.file_failed(p->events.arg, path, class, reason);
}
