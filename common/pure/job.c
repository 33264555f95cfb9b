#include "pure/job.h"

#define NAMES_COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const char *name_of(const char *const *names, size_t count, size_t value) {
    return value < count && names[value] ? names[value] : "unknown";
}

const char *job_kind_name(enum job_kind kind) {
    static const char *const names[] = {
        [JOB_BEGIN] = "begin", [JOB_CHUNK] = "chunk",     [JOB_FINISH] = "finish", [JOB_ABORT] = "abort",
        [JOB_PUT] = "put",     [JOB_STAT] = "stat",       [JOB_HEAD] = "head",     [JOB_READ] = "read",
        [JOB_LIST] = "list",   [JOB_DISCARD] = "discard", [JOB_DELETE] = "delete"};
    return name_of(names, NAMES_COUNT(names), kind);
}

#define QUESTION_HALF (sizeof(struct id128) / 2)

/* Tables take their hash from the first half (id_hash), so the number is spread over it. */
struct id128 question_id(const struct id128 *asker, uint64_t number) {
    struct id128 id = *asker;
    uint64_t spread = number * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(id.b, &spread, QUESTION_HALF);
    return id;
}

bool question_is_of(const struct id128 *question, const struct id128 *asker) {
    return memcmp(question->b + QUESTION_HALF, asker->b + QUESTION_HALF, QUESTION_HALF) == 0;
}

const char *why_text(enum why why) {
    static const char *const names[] = {
        [WHY_NONE] = "no reason given",
        [WHY_HELD] = "another uploader holds it",
        [WHY_GRACE] = "kept for its former holder after a restart",
        [WHY_LATER] = "not its turn yet",
        [WHY_UNKNOWN] = "no such upload",
        [WHY_STALE] = "not the handle that counts",
        [WHY_ENDED] = "the upload has ended",
        [WHY_DRAIN] = "the uploader leaves",
        [WHY_NOT_HERE] = "this uploader may not or cannot serve it",
        [WHY_NO_SOURCE] = "the file cannot be opened there",
        [WHY_BACKOFF] = "the endpoint wants a pause",
        [WHY_FULL_SLOTS] = "no free place",
        [WHY_NO_PROGRESS] = "no bytes moved",
        [WHY_JOURNAL] = "the journal cannot be written",
    };
    return name_of(names, NAMES_COUNT(names), why);
}

/* Part of the journal's format. */
const char *fail_class_name(enum fail_class c) {
    static const char *const names[] = {
        [FAIL_NONE] = "none",
        [FAIL_CHANGED] = "changed",
        [FAIL_SOURCE] = "source",
        [FAIL_DENIED] = "denied",
        [FAIL_NO_BUCKET] = "no-bucket",
        [FAIL_DEST] = "dest",
        [FAIL_FULL] = "full",
        [FAIL_CLOCK] = "clock",
        [FAIL_REQUEST] = "request",
        [FAIL_OUTAGE] = "outage",
        [FAIL_UNREACHABLE] = "unreachable",
        [FAIL_INTEGRITY] = "integrity",
        [FAIL_SUPERSEDED] = "superseded",
        [FAIL_NO_UPLOADER] = "no-uploader",
        [FAIL_EXISTS] = "exists",
    };
    return name_of(names, NAMES_COUNT(names), c);
}

static const char *const integrity_names[] = {"", "none", "tls", "crc32c", "md5", "sha256"};
const char *const integrity_option_names[] = {"auto", "crc32c", "sha256", "md5", "none", NULL};
#define INTEGRITIES (sizeof integrity_names / sizeof *integrity_names)

const char *slots_why_name(enum slots_why w) {
    static const char *const names[] = {"given", "near", "reply", "most", "memory", "trouble"};
    return name_of(names, NAMES_COUNT(names), w);
}

const char *finding_name(enum finding f) {
    static const char *const names[] = {"", "same", "missing", "size", "etag", "checksum", "replaced"};
    return (unsigned)f < sizeof names / sizeof *names ? names[f] : "";
}

const char *integrity_name(enum integrity i) {
    return (unsigned)i < INTEGRITIES ? integrity_names[i] : "";
}

enum integrity integrity_from_name(struct slice name) {
    for (size_t i = 1; i < INTEGRITIES; i++)
        if (slice_equal(name, slice_of(integrity_names[i])))
            return (enum integrity)i;
    return INTEGRITY_UNKNOWN;
}

enum fail_class fail_class_from_name(struct slice name) {
    for (enum fail_class c = FAIL_CHANGED; c <= FAIL_CLASS_LAST; c++)
        if (slice_equal(name, slice_of(fail_class_name(c))))
            return c;
    return FAIL_NONE;
}

bool fail_class_spoils(enum fail_class c) {
    return c == FAIL_CHANGED || c == FAIL_REQUEST || c == FAIL_INTEGRITY || c == FAIL_EXISTS;
}
