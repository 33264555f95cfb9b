#include "producer/cli/store/verify_command.h"

#include "producer/cli/store/store_options.h"
#include "producer/cli/store/verify_report.h"
#include "producer/cli/store/verify_run.h"
#include "pure/dest.h"
#include "pure/hash.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define USAGE "chunklift verify [options] [DEST…]"
#define ABOUT                                                                                                          \
    "Compares the objects at their destinations with the journal, without the sources: those at and under each "       \
    "DEST,\n"                                                                                                          \
    "or all. Prints a line for each difference (missing, size, etag, checksum, replaced). Exit status 1 if there are " \
    "any."

struct verify_command {
    struct store_options store;
    struct verify_options run;
    struct catalog_options catalog_options;
    struct catalog *catalog;
    struct verify_position position;
    struct verify_counts seen;
    bool from_start, damaged;
};

/* ---- the position of an interrupted run ---- */

static uint64_t key_add(uint64_t key, const char *text) {
    return hash_number(key ^ hash_bytes(text, strlen(text) + 1));
}

/* Another directory or manifest at the same path is another one. A journal grows, so its times do not count. */
static uint64_t key_add_file(uint64_t key, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0)
        return key;
    key = hash_number(hash_number(key ^ st.st_dev) ^ st.st_ino);
    if (!S_ISREG(st.st_mode))
        return key;
    return hash_number(hash_number(key ^ (uint64_t)st.st_size) ^ (uint64_t)nanotime_of(st.st_mtim));
}

/* A run with another key compares other objects, or in another way. */
static uint64_t verify_key(const struct verify_command *v) {
    uint64_t key = key_add((v->run.read ? 1u : 0u) + (v->run.record ? 2u : 0u), v->store.home.data);
    key = key_add_file(key, v->catalog_options.manifest ? v->catalog_options.manifest : v->store.home.data);
    for (size_t i = 0; i < catalog_store_count(v->catalog); i++) {
        const struct catalog_store *s = catalog_store(v->catalog, i);
        struct dest d = {.bucket = slice_of(NULL)};
        (void)!dest_parse(slice_of(s->dest), &d);
        key = hash_number(key_add(key, s->endpoint) ^ hash_bytes(d.bucket.ptr, d.bucket.len));
    }
    key = key_add(key, v->catalog_options.manifest ? v->catalog_options.manifest : "");
    key = key_add(key, v->store.endpoint_url ? v->store.endpoint_url : "");
    for (size_t i = 0; i < v->store.arguments.count; i++)
        key = key_add(key, v->store.arguments.items[i]);
    return key;
}

static void verify_continue(struct verify_command *v) {
    v->position.key = verify_key(v);
    if (!v->run.position_dir || v->from_start || !verify_position_load(v->run.position_dir, &v->position))
        return;
    if (v->position.store >= catalog_store_count(v->catalog))
        v->position = (struct verify_position){.key = v->position.key};
    else
        log_info("continuing an interrupted run, which compared %" PRIu64 " objects (--from-start compares all)",
                 v->position.done.compared);
}

/* ---- the stores, one after the other ---- */

static uint64_t verify_count_objects(const struct catalog *c) {
    uint64_t count = 0;
    for (size_t i = catalog_store_count(c); i-- > 0;)
        count += catalog_store(c, i)->objects;
    return count;
}

static int verify_stores(struct verify_command *v, uint64_t total) {
    int worst = EXIT_DONE;
    while (v->position.store < catalog_store_count(v->catalog)) {
        int status = EXIT_DONE;
        if (catalog_store(v->catalog, v->position.store)->objects > 0)
            status = verify_store(&v->run, v->catalog, &v->position, &v->seen, total);
        worst = worst > status ? worst : status;
        if (status >= EXIT_USAGE)
            return worst;
        v->position.store++;
        v->position.after = 0;
    }
    return worst;
}

/* The position is saved, or removed after a whole run. NULL: the run did not end early. */
static const char *verify_keep_position(struct verify_command *v, int status) {
    const char *dir = v->run.position_dir;
    if (status < EXIT_USAGE) {
        if (dir)
            verify_position_remove(dir);
        return NULL;
    }
    bool interrupted = status > 128;
    if (dir && !verify_position_save(dir, &v->position))
        return interrupted ? "interrupted; the same command continues" : "ended early; the same command continues";
    return interrupted ? "interrupted; the same command compares all again"
                       : "ended early; the same command compares all again";
}

static int verify_all(struct verify_command *v) {
    uint64_t total = verify_count_objects(v->catalog), began_ms = clock_ms();
    if (total == 0 && v->store.arguments.count > 0) {
        log_error("%s: no finished object there in the journal; see 'chunklift journal export'",
                  v->store.arguments.items[0]);
        return EXIT_SOME_FAILED;
    }
    verify_continue(v);
    v->seen = v->position.done;
    int status = verify_stores(v, total);
    bool stopped = status >= EXIT_USAGE;
    const char *end = verify_keep_position(v, status);
    if (!v->store.quiet && status != EXIT_USAGE)
        verify_summary(&v->seen, (double)(clock_ms() - began_ms) / 1000, end);
    bool all = v->seen.compared + v->seen.failed >= total;
    if (!stopped && !all)
        log_error("%" PRIu64
                  " objects were not compared: the journal changed meanwhile; run it again with --from-start",
                  total - v->seen.compared - v->seen.failed);
    if (!stopped && (v->seen.differences || v->seen.failed || v->damaged || !all))
        status = EXIT_SOME_FAILED;
    return status;
}

/* ---- start and end ---- */

static int verify_begin(struct verify_command *v) {
    const struct store_options *s = &v->store;
    v->catalog_options.dir = s->dir.data;
    v->catalog_options.endpoint = s->endpoint_url;
    v->catalog_options.dests = &s->arguments;
    v->catalog_options.chunks = v->run.read;
    uint64_t uploaders = v->run.errand.uploaders, slots = v->run.errand.slots;
    v->run.errand = store_options_errand(s);
    v->run.errand.uploaders = uploaders;
    v->run.errand.slots = slots;
    v->run.json = s->json;
    v->run.progress = !s->quiet && !s->no_progress && !s->json;
    v->run.position_dir = s->consumer ? NULL : s->home.data;
    return catalog_open(&v->catalog, &v->catalog_options, &v->damaged);
}

int verify_command(int argc, char **argv) {
    struct verify_command v = {.run = {.errand = {.uploaders = 2}}};
    const struct option_spec specs[] = {
        {"read", 0, OPTION_FLAG, &v.run.read, NULL, "read every object back and compare its crc32c"},
        {"manifest", 0, OPTION_TEXT, &v.catalog_options.manifest, "FILE",
         "compare with a file of 'chunklift journal export' instead of the journal"},
        {"record", 0, OPTION_FLAG, &v.run.record, NULL, "record the result of each object in the journal"},
        {"from-start", 0, OPTION_FLAG, &v.from_start, NULL, "compare all, also what an interrupted run compared"},
        OPTION_ROW_UPLOADERS(&v.run.errand.uploaders),
        OPTION_ROW_SLOTS(&v.run.errand.slots, OPTION_SLOTS_MAX),
        STORE_OPTION_ROWS(&v.store),
    };
    int status = EXIT_DONE, err = store_options_parse(&v.store, "verify", USAGE, ABOUT, specs, argc, argv);
    if (!err && v.run.record && v.catalog_options.manifest) {
        log_error("--record: the journal has no uploads of a --manifest; use one of them");
        err = ERR_USAGE;
    }
    if (!err && v.run.record && v.store.endpoint_url && v.store.arguments.count == 0) {
        log_error("--record: with --endpoint-url, objects of other stores would be recorded as missing; name a DEST");
        err = ERR_USAGE;
    }
    if (!err)
        err = store_options_open_journal(&v.store);
    if (!err)
        err = verify_begin(&v);
    if (!err)
        status = verify_all(&v);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    catalog_close(&v.catalog);
    store_options_release(&v.store);
    return err ? output_status(err) : status;
}
