/* The tables described in proto_fields.h. */
#include "pure/proto_fields.h"
#include "pure/geometry.h"
#include "pure/timetable.h"

#define REQUIRED true
#define OPTIONAL false

/* Sizes and offsets fit a signed 64-bit number, so that their sums cannot wrap. */
#define SIZE_LIMIT ((uint64_t)INT64_MAX)
#define ANY32 ((uint64_t)UINT32_MAX)
#define ANY64 UINT64_MAX
#define PID_LIMIT ((uint64_t)INT32_MAX)
#define HEAD_LEN ID_HEX_LEN

#define MEMBER(st, m) (((const struct st *)0)->m)
/* The kind follows from the member's type, so a table cannot disagree with its struct. */
#define NUMBER_KIND(st, m)                                                                                             \
    _Generic(&MEMBER(st, m),                                                                                           \
        const uint32_t *: FIELD_U32,                                                                                   \
        const uint64_t *: FIELD_U64,                                                                                   \
        const int64_t *: FIELD_I64,                                                                                    \
        const nanotime *: FIELD_TIME,                                                                                  \
        const bool *: FIELD_BOOL,                                                                                      \
        const struct id128 *: FIELD_ID)
#define SLICE_KIND(st, m, k) _Generic(&MEMBER(st, m), const struct slice * : (k))
#define LIST_KIND(st, m, count, k) _Generic(&MEMBER(st, count), const size_t * : (k))

#define NUMBER(st, n, m, need, max)                                                                                    \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = NUMBER_KIND(st, m), .required = (need), .offset = offsetof(struct st, m),   \
        .maximum = (max)                                                                                               \
    }
/* An enum is stored like a uint32_t; GCC keeps their types apart. */
#define ENUM_KIND(st, m) (FIELD_U32 + 0 * sizeof(char[sizeof(MEMBER(st, m)) == sizeof(uint32_t) ? 1 : -1]))
#define ENUM(st, n, m, need, last)                                                                                     \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = ENUM_KIND(st, m), .required = (need), .offset = offsetof(struct st, m),     \
        .maximum = (last)                                                                                              \
    }
/* A member of source_ref.file. */
#define FILE_NUMBER(n, m, max)                                                                                         \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = NUMBER_KIND(source_identity, m),                                            \
        .offset = offsetof(struct source_ref, file.m), .maximum = (max)                                                \
    }
#define FLAG(st, n, m) NUMBER(st, n, m, OPTIONAL, 1)
#define ID(st, n, m, need) NUMBER(st, n, m, need, 0)
#define TIME(st, n, m) NUMBER(st, n, m, OPTIONAL, 0)
#define TEXT(st, n, m, need, max)                                                                                      \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = SLICE_KIND(st, m, FIELD_TEXT), .required = (need),                          \
        .offset = offsetof(struct st, m), .maximum = (max)                                                             \
    }
#define BYTES(st, n, m, max)                                                                                           \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = SLICE_KIND(st, m, FIELD_BYTES), .offset = offsetof(struct st, m),           \
        .maximum = (max)                                                                                               \
    }
#define STRUCT(st, n, m, need, sh)                                                                                     \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = FIELD_STRUCT, .required = (need), .offset = offsetof(struct st, m),         \
        .schema = &(sh)                                                                                                \
    }
#define LIST(st, n, m, count, max, sh)                                                                                 \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = LIST_KIND(st, m, count, FIELD_LIST), .offset = offsetof(struct st, m),      \
        .count_offset = offsetof(struct st, count), .maximum = (max), .schema = &(sh)                                  \
    }
#define TEXTS(st, n, m, count, max, each)                                                                              \
    {                                                                                                                  \
        .name = #m, .number = (n), .kind = LIST_KIND(st, m, count, FIELD_TEXTS), .offset = offsetof(struct st, m),     \
        .count_offset = offsetof(struct st, count), .maximum = (max), .text_max = (each)                               \
    }

#define SCHEMA(label, st, table)                                                                                       \
    { .name = (label), .size = sizeof(struct st), .fields = (table), .field_count = sizeof(table) / sizeof((table)[0]) }

/* One field a line. */
/* clang-format off */
/* ---- nested structs ---- */

static const struct field ref_fields[] = {
    ENUM(ref, 1, kind, REQUIRED, JOB_DELETE),
    ID(ref, 2, upload, REQUIRED),
    NUMBER(ref, 3, chunk, OPTIONAL, CHUNKS_MAX - 1),
};
static const struct schema ref_schema = SCHEMA("ref", ref, ref_fields);

static const struct field source_fields[] = {
    TEXT(source_ref, 1, name, OPTIONAL, PROTO_TEXT_MAX),
    TEXT(source_ref, 2, path, REQUIRED, PROTO_NAME_MAX),
    FILE_NUMBER(3, size, SIZE_LIMIT),
    FILE_NUMBER(4, mtime_ns, 0),
    FILE_NUMBER(5, ctime_ns, 0),
    FILE_NUMBER(6, ino, ANY64),
    FILE_NUMBER(7, dev, ANY64),
    TEXT(source_ref, 8, boot, OPTIONAL, PROTO_TEXT_MAX),
    FILE_NUMBER(9, mode, 0177777),
    FLAG(source_ref, 10, stream),
};
static const struct schema source_schema = SCHEMA("source", source_ref, source_fields);

static const struct field target_fields[] = {
    TEXT(target, 1, dest, REQUIRED, PROTO_NAME_MAX),
    TEXT(target, 2, endpoint, OPTIONAL, PROTO_TEXT_MAX),
    TEXT(target, 3, region, OPTIONAL, PROTO_TEXT_MAX),
};
static const struct schema target_schema = SCHEMA("target", target, target_fields);

static const struct field plan_file_fields[] = {
    NUMBER(plan_file, 1, index, OPTIONAL, ANY64),
    ID(plan_file, 2, upload, OPTIONAL),
    STRUCT(plan_file, 3, source, REQUIRED, source_schema),
    STRUCT(plan_file, 4, target, REQUIRED, target_schema),
    NUMBER(plan_file, 5, chunk_size, OPTIONAL, SIZE_LIMIT),
    NUMBER(plan_file, 6, chunks, OPTIONAL, CHUNKS_MAX),
    NUMBER(plan_file, 7, flags, OPTIONAL, PLAN_FORCE | PLAN_PUT | PLAN_MISSING),
    ENUM(plan_file, 8, inodes, OPTIONAL, INODES_UNSTABLE),
    FLAG(plan_file, 9, verified),
    NUMBER(plan_file, 10, crc, OPTIONAL, ANY32),
    FLAG(plan_file, 11, resize),
    FLAG(plan_file, 12, drop),
    TEXT(plan_file, 13, error, OPTIONAL, PROTO_TEXT_MAX),
    ID(plan_file, 14, properties, OPTIONAL),
    FLAG(plan_file, 15, ask),
    ENUM(plan_file, 16, compare, OPTIONAL, COMPARE_CONTENT),
    FLAG(plan_file, 17, check),
    NUMBER(plan_file, 18, grow, OPTIONAL, CHUNKS_MAX),
    ENUM(plan_file, 19, found, OPTIONAL, FINDING_REPLACED),
    FLAG(plan_file, 20, read),
    ENUM(plan_file, 21, removal, OPTIONAL, REMOVAL_FAILED),
};
static const struct schema plan_file_schema = SCHEMA("plan_file", plan_file, plan_file_fields);

static const struct field job_lease_fields[] = {
    STRUCT(job_lease, 1, ref, REQUIRED, ref_schema),
    NUMBER(job_lease, 2, remaining_ms, OPTIONAL, ANY32),
};
static const struct schema job_lease_schema = SCHEMA("job_lease", job_lease, job_lease_fields);

static const struct field planned_file_fields[] = {
    NUMBER(planned_file, 1, index, OPTIONAL, ANY64),
    ID(planned_file, 2, upload, OPTIONAL),
    ENUM(planned_file, 3, state, REQUIRED, PLANNED_SUPERSEDED),
    TEXT(planned_file, 4, handle, OPTIONAL, PROTO_TEXT_MAX),
    ENUM(planned_file, 5, checksum, OPTIONAL, CHECKSUM_CRC32C_FULL),
    NUMBER(planned_file, 6, chunk_size, OPTIONAL, SIZE_LIMIT),
    NUMBER(planned_file, 7, chunks, OPTIONAL, CHUNKS_MAX),
    BYTES(planned_file, 8, done, CHUNKS_MAX / 8),
    NUMBER(planned_file, 9, done_bytes, OPTIONAL, SIZE_LIMIT),
    ID(planned_file, 10, superseded, OPTIONAL),
    TEXT(planned_file, 11, superseded_handle, OPTIONAL, PROTO_TEXT_MAX),
    LIST(planned_file, 12, leases, lease_count, PROTO_LIST_MAX, job_lease_schema),
    TEXT(planned_file, 13, error, OPTIONAL, PROTO_TEXT_MAX),
    FLAG(planned_file, 14, superseded_opened),
    NUMBER(planned_file, 15, differs, OPTIONAL, DIFFERS_INODE | DIFFERS_CTIME | DIFFERS_UNREAD),
    NUMBER(planned_file, 16, crc, OPTIONAL, ANY32),
    TEXT(planned_file, 17, etag, OPTIONAL, PROTO_TEXT_MAX),
};
static const struct schema planned_file_schema = SCHEMA("planned_file", planned_file, planned_file_fields);

static const struct field job_fields[] = {
    STRUCT(job, 1, ref, REQUIRED, ref_schema),
    NUMBER(job, 2, offset, OPTIONAL, SIZE_LIMIT),
    NUMBER(job, 3, length, OPTIONAL, SIZE_LIMIT),
    STRUCT(job, 4, source, OPTIONAL, source_schema),
    STRUCT(job, 5, target, REQUIRED, target_schema),
    TEXT(job, 6, handle, OPTIONAL, PROTO_TEXT_MAX),
    ENUM(job, 7, checksum, OPTIONAL, CHECKSUM_CRC32C_FULL),
    NUMBER(job, 8, chunk_size, OPTIONAL, SIZE_LIMIT),
    NUMBER(job, 9, chunks, OPTIONAL, CHUNKS_MAX),
    FLAG(job, 10, second),
    ENUM(job, 11, integrity, OPTIONAL, INTEGRITY_SHA256),
    TEXT(job, 12, content_type, OPTIONAL, PROTO_TEXT_MAX),
    TEXT(job, 13, marker, OPTIONAL, PROTO_TEXT_MAX),
    FLAG(job, 14, if_none_match),
    NUMBER(job, 15, grow, OPTIONAL, CHUNKS_MAX),
    TEXTS(job, 16, keys, key_count, JOB_KEYS_MAX, PROTO_NAME_MAX),
};
static const struct schema job_schema = SCHEMA("job", job, job_fields);

static const struct field properties_fields[] = {
    TEXT(properties, 1, content_type, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 2, cache_control, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 3, content_disposition, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 4, content_encoding, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 5, content_language, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXTS(properties, 6, metadata, metadata_count, PROPERTY_METADATA_MAX, PROPERTY_METADATA_BYTES_MAX + 1),
    TEXT(properties, 7, tagging, OPTIONAL, PROPERTY_TAGGING_MAX),
    TEXT(properties, 8, storage_class, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 9, acl, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 10, sse, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 11, sse_kms_key_id, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 12, sse_c_md5, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 13, request_payer, OPTIONAL, PROPERTY_VALUE_MAX),
    TEXT(properties, 14, expected_bucket_owner, OPTIONAL, PROPERTY_VALUE_MAX),
    FLAG(properties, 15, no_preserve),
};
static const struct schema properties_schema = SCHEMA("properties", properties, properties_fields);

static const struct field claim_item_fields[] = {
    STRUCT(claim, 1, ref, REQUIRED, ref_schema),
    TEXT(claim, 2, handle, OPTIONAL, PROTO_TEXT_MAX),
    FLAG(claim, 3, held),
    FLAG(claim, 4, second),
};
static const struct schema claim_item_schema = SCHEMA("claim", claim, claim_item_fields);

static const struct field verdict_item_fields[] = {
    STRUCT(verdict, 1, ref, REQUIRED, ref_schema),
    ENUM(verdict, 2, kind, REQUIRED, VERDICT_DONE),
    ENUM(verdict, 3, why, OPTIONAL, WHY_JOURNAL),
    NUMBER(verdict, 4, after_ms, OPTIONAL, ANY32),
    NUMBER(verdict, 5, seq, OPTIONAL, ANY64),
    TIME(verdict, 6, since_us),
};
static const struct schema verdict_item_schema = SCHEMA("verdict", verdict, verdict_item_fields);

static const struct field lease_mark_fields[] = {
    STRUCT(lease_mark, 1, ref, REQUIRED, ref_schema),
    NUMBER(lease_mark, 2, bytes, OPTIONAL, SIZE_LIMIT),
};
static const struct schema lease_mark_schema = SCHEMA("lease_mark", lease_mark, lease_mark_fields);

static const struct field trouble_fields[] = {
    TEXT(trouble, 1, location, REQUIRED, PROTO_NAME_MAX),
    ENUM(trouble, 2, class, OPTIONAL, FAIL_CLASS_LAST),
    TEXT(trouble, 3, error, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(trouble, 4, since_ms, OPTIONAL, ANY64),
    NUMBER(trouble, 5, out_ms, OPTIONAL, ANY32),
    FLAG(trouble, 6, sure),
};
static const struct schema trouble_schema = SCHEMA("trouble", trouble, trouble_fields);

static const struct field released_fields[] = {
    STRUCT(released, 1, ref, REQUIRED, ref_schema),
    ENUM(released, 2, why, OPTIONAL, WHY_JOURNAL),
    NUMBER(released, 3, after_ms, OPTIONAL, ANY32),
    TEXT(released, 4, detail, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(released, 5, bytes, OPTIONAL, SIZE_LIMIT),
    ENUM(released, 6, own, OPTIONAL, OWN_SURE),
    ENUM(released, 7, class, OPTIONAL, FAIL_CLASS_LAST),
};
static const struct schema released_schema = SCHEMA("released", released, released_fields);

static const struct field part_fields[] = {
    NUMBER(part, 1, chunk, OPTIONAL, CHUNKS_MAX - 1),
    NUMBER(part, 2, crc, OPTIONAL, ANY32),
    NUMBER(part, 3, length, OPTIONAL, SIZE_LIMIT),
    TEXT(part, 4, etag, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(part, 5, seq, OPTIONAL, ANY64),
};
static const struct schema part_schema = SCHEMA("part", part, part_fields);

static const struct field result_fields[] = {
    STRUCT(result, 1, ref, REQUIRED, ref_schema),
    ENUM(result, 2, outcome, REQUIRED, OUTCOME_GONE),
    ENUM(result, 3, class, OPTIONAL, FAIL_CLASS_LAST),
    TEXT(result, 4, error, OPTIONAL, PROTO_TEXT_MAX),
    TEXT(result, 5, handle, OPTIONAL, PROTO_TEXT_MAX),
    ENUM(result, 6, checksum, OPTIONAL, CHECKSUM_CRC32C_FULL),
    NUMBER(result, 7, offset, OPTIONAL, SIZE_LIMIT),
    NUMBER(result, 8, length, OPTIONAL, SIZE_LIMIT),
    NUMBER(result, 9, size, OPTIONAL, SIZE_LIMIT),
    NUMBER(result, 10, crc, OPTIONAL, ANY32),
    TEXT(result, 11, etag, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(result, 12, ms, OPTIONAL, ANY32),
    NUMBER(result, 13, sent_bytes, OPTIONAL, ANY64),
    FLAG(result, 14, exists),
    STRUCT(result, 15, source, OPTIONAL, source_schema),
    STRUCT(result, 16, target, OPTIONAL, target_schema),
    FLAG(result, 17, doubt),
    NUMBER(result, 18, seq, OPTIONAL, ANY64),
    FLAG(result, 19, fetched),
    ENUM(result, 20, integrity, OPTIONAL, INTEGRITY_SHA256),
    ENUM(result, 21, own, OPTIONAL, OWN_SURE),
    ID(result, 22, owner, OPTIONAL),
    FLAG(result, 23, has_crc),
    ID(result, 24, properties, OPTIONAL),
    BYTES(result, 25, listing, LISTING_MAX),
    NUMBER(result, 26, total, OPTIONAL, SIZE_LIMIT),
};
static const struct schema result_schema = SCHEMA("result", result, result_fields);

static const struct field ack_item_fields[] = {
    STRUCT(ack, 1, ref, REQUIRED, ref_schema),
    ENUM(ack, 2, outcome, REQUIRED, OUTCOME_GONE),
    ENUM(ack, 3, kind, REQUIRED, ACK_REFUSED),
    ENUM(ack, 4, why, OPTIONAL, WHY_JOURNAL),
    NUMBER(ack, 5, seq, OPTIONAL, ANY64),
    TEXT(ack, 6, handle, OPTIONAL, PROTO_TEXT_MAX),
};
static const struct schema ack_item_schema = SCHEMA("ack", ack, ack_item_fields);

static const struct field event_fields[] = {
    STRUCT(event, 1, ref, REQUIRED, ref_schema),
    ENUM(event, 2, kind, REQUIRED, EVENT_CHECKED),
    ENUM(event, 3, why, OPTIONAL, WHY_JOURNAL),
    NUMBER(event, 4, after_ms, OPTIONAL, ANY32),
    NUMBER(event, 5, bytes, OPTIONAL, SIZE_LIMIT),
    TEXT(event, 6, worker, OPTIONAL, PROTO_TEXT_MAX),
    TEXT(event, 7, detail, OPTIONAL, PROTO_TEXT_MAX),
    FLAG(event, 8, exists),
    NUMBER(event, 9, size, OPTIONAL, SIZE_LIMIT),
    FLAG(event, 10, second),
    ENUM(event, 11, class, OPTIONAL, FAIL_CLASS_LAST),
    TEXT(event, 12, etag, OPTIONAL, PROTO_TEXT_MAX),
    ID(event, 13, owner, OPTIONAL),
    FLAG(event, 14, has_crc),
    NUMBER(event, 15, crc, OPTIONAL, ANY32),
    BYTES(event, 16, listing, LISTING_MAX),
};
static const struct schema event_schema = SCHEMA("event", event, event_fields);

static const struct field fleet_fields[] = {
    NUMBER(fleet, 1, uploaders, OPTIONAL, ANY32),
    NUMBER(fleet, 2, slots, OPTIONAL, ANY32),
    NUMBER(fleet, 3, free, OPTIONAL, ANY32),
    NUMBER(fleet, 4, share, OPTIONAL, ANY32),
    NUMBER(fleet, 5, moving_bytes, OPTIONAL, ANY64),
    NUMBER(fleet, 6, resent_bytes, OPTIONAL, ANY64),
    NUMBER(fleet, 7, retries, OPTIONAL, ANY64),
    NUMBER(fleet, 8, unable, OPTIONAL, ANY32),
    NUMBER(fleet, 9, local_uploaders, OPTIONAL, PROTO_UPLOADERS_MAX),
    TEXT(fleet, 10, outage, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(fleet, 11, outage_ms, OPTIONAL, ANY64),
    NUMBER(fleet, 12, outage_uploaders, OPTIONAL, ANY32),
    NUMBER(fleet, 13, hedged_bytes, OPTIONAL, ANY64),
};
static const struct schema fleet_schema = SCHEMA("fleet", fleet, fleet_fields);

static const struct field upload_status_fields[] = {
    ID(upload_status, 1, upload, REQUIRED),
    TEXT(upload_status, 2, path, OPTIONAL, PROTO_NAME_MAX),
    TEXT(upload_status, 3, dest, OPTIONAL, PROTO_NAME_MAX),
    NUMBER(upload_status, 4, size, OPTIONAL, SIZE_LIMIT),
    NUMBER(upload_status, 5, done_bytes, OPTIONAL, SIZE_LIMIT),
    NUMBER(upload_status, 6, moving_bytes, OPTIONAL, ANY64),
    NUMBER(upload_status, 7, chunks, OPTIONAL, CHUNKS_MAX),
    NUMBER(upload_status, 8, chunks_done, OPTIONAL, CHUNKS_MAX),
    NUMBER(upload_status, 9, leases, OPTIONAL, ANY32),
    NUMBER(upload_status, 10, second, OPTIONAL, ANY32),
    ENUM(upload_status, 11, class, OPTIONAL, FAIL_CLASS_LAST),
    TEXT(upload_status, 12, error, OPTIONAL, PROTO_TEXT_MAX),
    FLAG(upload_status, 13, in_use),
};
static const struct schema upload_status_schema = SCHEMA("upload_status", upload_status, upload_status_fields);

static const struct field worker_status_fields[] = {
    ENUM(worker_status, 1, role, REQUIRED, ROLE_READER),
    TEXT(worker_status, 2, worker, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(worker_status, 3, slots, OPTIONAL, ANY32),
    NUMBER(worker_status, 4, active, OPTIONAL, ANY32),
    NUMBER(worker_status, 5, free, OPTIONAL, ANY32),
    NUMBER(worker_status, 6, sent_bytes, OPTIONAL, ANY64),
    NUMBER(worker_status, 7, rate, OPTIONAL, ANY64),
    NUMBER(worker_status, 8, retries, OPTIONAL, ANY64),
    NUMBER(worker_status, 9, silent_ms, OPTIONAL, ANY64),
    NUMBER(worker_status, 10, fetched_bytes, OPTIONAL, ANY64),
    ENUM(worker_status, 11, integrity, OPTIONAL, INTEGRITY_SHA256),
    NUMBER(worker_status, 12, bwlimit, OPTIONAL, ANY64),
    LIST(worker_status, 13, troubles, trouble_count, PROTO_TROUBLES_MAX, trouble_schema),
    TEXT(worker_status, 14, outage, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(worker_status, 15, outage_ms, OPTIONAL, ANY64),
    ENUM(worker_status, 16, slots_why, OPTIONAL, SLOTS_TROUBLE),
    NUMBER(worker_status, 17, reply_us, OPTIONAL, ANY64),
    NUMBER(worker_status, 18, work_us, OPTIONAL, ANY64),
};
static const struct schema worker_status_schema = SCHEMA("worker_status", worker_status, worker_status_fields);

static const struct field endpoint_use_fields[] = {
    TEXT(endpoint_use, 1, endpoint, REQUIRED, PROTO_TEXT_MAX),
    NUMBER(endpoint_use, 2, served, OPTIONAL, ANY64),
    NUMBER(endpoint_use, 3, throttles, OPTIONAL, ANY64),
    NUMBER(endpoint_use, 4, pause_ms, OPTIONAL, ANY32),
    FLAG(endpoint_use, 5, throttled),
};
static const struct schema endpoint_use_schema = SCHEMA("endpoint_use", endpoint_use, endpoint_use_fields);

static const struct field brake_fields[] = {
    TEXT(brake, 1, endpoint, REQUIRED, PROTO_TEXT_MAX),
    NUMBER(brake, 2, rate_milli, OPTIONAL, ANY64),
    NUMBER(brake, 3, pause_ms, OPTIONAL, ANY32),
};
static const struct schema brake_schema = SCHEMA("brake", brake, brake_fields);

static const struct field brake_status_fields[] = {
    TEXT(brake_status, 1, endpoint, REQUIRED, PROTO_TEXT_MAX),
    NUMBER(brake_status, 2, rate_milli, OPTIONAL, ANY64),
    NUMBER(brake_status, 3, pause_ms, OPTIONAL, ANY32),
    NUMBER(brake_status, 4, throttles, OPTIONAL, ANY64),
    NUMBER(brake_status, 5, since_ms, OPTIONAL, ANY64),
    NUMBER(brake_status, 6, last_ms, OPTIONAL, ANY64),
};
static const struct schema brake_status_schema = SCHEMA("brake_status", brake_status, brake_status_fields);

static const struct field bwlimit_plan_fields[] = {
    TEXT(bwlimit_plan, 1, timetable, OPTIONAL, TIMETABLE_TEXT_MAX),
    NUMBER(bwlimit_plan, 2, next, OPTIONAL, ANY64),
    NUMBER(bwlimit_plan, 3, next_in_s, OPTIONAL, ANY64),
};
static const struct schema bwlimit_plan_schema = SCHEMA("bwlimit_plan", bwlimit_plan, bwlimit_plan_fields);

/* ---- messages ---- */

static const struct field hello_fields[] = {
    ENUM(msg_hello, 1, role, REQUIRED, ROLE_READER),
    TEXT(msg_hello, 2, host, OPTIONAL, PROTO_TEXT_MAX),
    TEXT(msg_hello, 3, boot, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(msg_hello, 4, pid, OPTIONAL, PID_LIMIT),
    NUMBER(msg_hello, 5, starttime, OPTIONAL, ANY64),
    NUMBER(msg_hello, 6, slots, OPTIONAL, ANY32),
    TEXT(msg_hello, 7, jobs, OPTIONAL, PROTO_TEXT_MAX),
    TEXTS(msg_hello, 8, allow, allow_count, PROTO_LIST_MAX, PROTO_NAME_MAX),
    TEXT(msg_hello, 9, software, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(msg_hello, 10, abilities, OPTIONAL, ANY32),
};
static const struct field welcome_fields[] = {
    NUMBER(msg_welcome, 1, epoch, REQUIRED, ANY64),
    NUMBER(msg_welcome, 2, lease_ms, REQUIRED, ANY32),
    NUMBER(msg_welcome, 3, seq, OPTIONAL, ANY64),
    TEXT(msg_welcome, 4, head, OPTIONAL, HEAD_LEN),
    TEXTS(msg_welcome, 5, jobs, jobs_count, PROTO_LIST_MAX, PROTO_TEXT_MAX),
    NUMBER(msg_welcome, 6, event, OPTIONAL, ANY64),
    TEXT(msg_welcome, 7, journal_dir, OPTIONAL, PROTO_NAME_MAX),
    NUMBER(msg_welcome, 8, pid, OPTIONAL, PID_LIMIT),
};
static const struct field plan_fields[] = {
    LIST(msg_plan, 1, files, file_count, PROTO_PLAN_MAX, plan_file_schema),
};
static const struct field planned_fields[] = {
    NUMBER(msg_planned, 1, seq, OPTIONAL, ANY64),
    LIST(msg_planned, 2, files, file_count, PROTO_PLAN_MAX, planned_file_schema),
};
static const struct field offer_fields[] = {
    LIST(msg_offer, 1, jobs, job_count, PROTO_LIST_MAX, job_schema),
    TEXT(msg_offer, 2, data, OPTIONAL, PROTO_TEXT_MAX),
    STRUCT(msg_offer, 3, properties, OPTIONAL, properties_schema),
};
static const struct field claim_fields[] = {
    LIST(msg_claim, 1, claims, claim_count, PROTO_LIST_MAX, claim_item_schema),
};
static const struct field verdict_fields[] = {
    NUMBER(msg_verdict, 1, lease_ms, OPTIONAL, ANY32),
    LIST(msg_verdict, 2, verdicts, verdict_count, PROTO_LIST_MAX, verdict_item_schema),
};
static const struct field heartbeat_fields[] = {
    NUMBER(msg_heartbeat, 1, slots, OPTIONAL, ANY32),
    NUMBER(msg_heartbeat, 2, active, OPTIONAL, ANY32),
    NUMBER(msg_heartbeat, 3, free, OPTIONAL, ANY32),
    LIST(msg_heartbeat, 4, leases, lease_count, PROTO_LIST_MAX, lease_mark_schema),
    NUMBER(msg_heartbeat, 5, sent_bytes, OPTIONAL, ANY64),
    NUMBER(msg_heartbeat, 6, retries, OPTIONAL, ANY64),
    NUMBER(msg_heartbeat, 7, fetched_bytes, OPTIONAL, ANY64),
    ENUM(msg_heartbeat, 8, integrity, OPTIONAL, INTEGRITY_SHA256),
    NUMBER(msg_heartbeat, 9, bwlimit, OPTIONAL, ANY64),
    NUMBER(msg_heartbeat, 10, own_bwlimit, OPTIONAL, ANY64),
    FLAG(msg_heartbeat, 11, throttled),
    LIST(msg_heartbeat, 12, endpoints, endpoint_count, PROTO_ENDPOINTS_MAX, endpoint_use_schema),
    LIST(msg_heartbeat, 13, troubles, trouble_count, PROTO_TROUBLES_MAX, trouble_schema),
    TEXT(msg_heartbeat, 14, outage, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(msg_heartbeat, 15, outage_ms, OPTIONAL, ANY64),
    ENUM(msg_heartbeat, 16, slots_why, OPTIONAL, SLOTS_TROUBLE),
    NUMBER(msg_heartbeat, 17, reply_us, OPTIONAL, ANY64),
    NUMBER(msg_heartbeat, 18, work_us, OPTIONAL, ANY64),
};
static const struct field beat_fields[] = {
    LIST(msg_beat, 1, invalid, invalid_count, PROTO_LIST_MAX, ref_schema),
    TEXTS(msg_beat, 2, jobs, jobs_count, PROTO_LIST_MAX, PROTO_TEXT_MAX),
    FLAG(msg_beat, 3, limits),
    NUMBER(msg_beat, 4, slots, OPTIONAL, PROTO_SLOTS_MAX),
    NUMBER(msg_beat, 5, bwlimit, OPTIONAL, ANY64),
    LIST(msg_beat, 6, brakes, brake_count, PROTO_ENDPOINTS_MAX, brake_schema),
    LIST(msg_beat, 7, unwanted, unwanted_count, PROTO_LIST_MAX, ref_schema),
    TEXTS(msg_beat, 8, relieved, relieved_count, PROTO_TROUBLES_MAX, PROTO_NAME_MAX),
    LIST(msg_beat, 9, lost, lost_count, PROTO_LIST_MAX, ref_schema),
};
static const struct field release_fields[] = {
    LIST(msg_release, 1, jobs, job_count, PROTO_LIST_MAX, released_schema),
};
static const struct field parts_fields[] = {
    ID(msg_parts, 1, upload, REQUIRED),
    TEXT(msg_parts, 2, handle, OPTIONAL, PROTO_TEXT_MAX),
    NUMBER(msg_parts, 3, from, OPTIONAL, CHUNKS_MAX),
};
static const struct field partlist_fields[] = {
    ID(msg_partlist, 1, upload, REQUIRED),
    NUMBER(msg_partlist, 2, from, OPTIONAL, CHUNKS_MAX),
    NUMBER(msg_partlist, 3, chunks, OPTIONAL, CHUNKS_MAX),
    LIST(msg_partlist, 4, parts, part_count, PROTO_LIST_MAX, part_schema),
};
static const struct field complete_fields[] = {
    LIST(msg_complete, 1, results, result_count, PROTO_LIST_MAX, result_schema),
};
static const struct field ack_fields[] = {
    LIST(msg_ack, 1, acks, ack_count, PROTO_LIST_MAX, ack_item_schema),
};
static const struct field tail_fields[] = {
    NUMBER(msg_tail, 1, seq, OPTIONAL, ANY64),
    NUMBER(msg_tail, 2, event, OPTIONAL, ANY64),
    ENUM(msg_tail, 3, filter, REQUIRED, TAIL_UPLOAD),
    ID(msg_tail, 4, upload, OPTIONAL),
    NUMBER(msg_tail, 5, max_records, OPTIONAL, ANY32),
    NUMBER(msg_tail, 6, wait_ms, OPTIONAL, ANY32),
    FLAG(msg_tail, 7, stops),
};
static const struct field records_fields[] = {
    NUMBER(msg_records, 1, epoch, OPTIONAL, ANY64),
    BYTES(msg_records, 2, lines, PROTO_FRAME_MAX),
    NUMBER(msg_records, 3, line_count, OPTIONAL, ANY32),
    NUMBER(msg_records, 4, next, OPTIONAL, ANY64),
    LIST(msg_records, 5, events, event_count, PROTO_LIST_MAX, event_schema),
    NUMBER(msg_records, 6, event_next, OPTIONAL, ANY64),
    STRUCT(msg_records, 7, fleet, OPTIONAL, fleet_schema),
    NUMBER(msg_records, 8, head_seq, OPTIONAL, ANY64),
    TEXT(msg_records, 9, head, OPTIONAL, HEAD_LEN),
    FLAG(msg_records, 10, resync),
    LIST(msg_records, 11, slow, slow_count, PROTO_LIST_MAX, ref_schema),
};
static const struct field status_fields[] = {
    NUMBER(msg_status, 1, from, OPTIONAL, ANY64),
};
static const struct field state_fields[] = {
    NUMBER(msg_state, 1, epoch, OPTIONAL, ANY64),
    NUMBER(msg_state, 2, head_seq, OPTIONAL, ANY64),
    NUMBER(msg_state, 3, pid, OPTIONAL, PID_LIMIT),
    TEXT(msg_state, 4, head, OPTIONAL, HEAD_LEN),
    TEXT(msg_state, 5, journal_dir, OPTIONAL, PROTO_NAME_MAX),
    LIST(msg_state, 6, uploads, upload_count, PROTO_LIST_MAX, upload_status_schema),
    LIST(msg_state, 7, workers, worker_count, PROTO_LIST_MAX, worker_status_schema),
    NUMBER(msg_state, 8, next, OPTIONAL, ANY64),
    NUMBER(msg_state, 9, finished, OPTIONAL, ANY64),
    NUMBER(msg_state, 10, local_uploaders, OPTIONAL, PROTO_UPLOADERS_MAX),
    NUMBER(msg_state, 11, slots, OPTIONAL, PROTO_SLOTS_MAX),
    NUMBER(msg_state, 12, bwlimit, OPTIONAL, ANY64),
    LIST(msg_state, 13, brakes, brake_count, PROTO_ENDPOINTS_MAX, brake_status_schema),
    STRUCT(msg_state, 14, bwlimit_plan, OPTIONAL, bwlimit_plan_schema),
};
static const struct field error_fields[] = {
    ENUM(msg_error, 1, code, REQUIRED, PROTOCOL_STOPPING),
    TEXT(msg_error, 2, text, OPTIONAL, PROTO_TEXT_MAX),
};
static const struct field set_fields[] = {
    NUMBER(msg_set, 1, flags, OPTIONAL, SET_UPLOADERS | SET_SLOTS | SET_BWLIMIT),
    NUMBER(msg_set, 2, local_uploaders, OPTIONAL, PROTO_UPLOADERS_MAX),
    NUMBER(msg_set, 3, slots, OPTIONAL, PROTO_SLOTS_MAX),
    NUMBER(msg_set, 4, bwlimit, OPTIONAL, SIZE_LIMIT),
    TEXT(msg_set, 5, timetable, OPTIONAL, TIMETABLE_TEXT_MAX),
};
static const struct field settings_fields[] = {
    NUMBER(msg_settings, 1, local_uploaders, OPTIONAL, PROTO_UPLOADERS_MAX),
    NUMBER(msg_settings, 2, slots, OPTIONAL, PROTO_SLOTS_MAX),
    NUMBER(msg_settings, 3, bwlimit, OPTIONAL, SIZE_LIMIT),
    NUMBER(msg_settings, 4, uploaders, OPTIONAL, ANY32),
    NUMBER(msg_settings, 5, fleet_slots, OPTIONAL, ANY32),
    TEXT(msg_settings, 6, error, OPTIONAL, PROTO_TEXT_MAX),
    STRUCT(msg_settings, 7, bwlimit_plan, OPTIONAL, bwlimit_plan_schema),
};

static const struct field forget_fields[] = {
    BYTES(msg_forget, 1, uploads, 16 * PROTO_FORGET_MAX),
    FLAG(msg_forget, 2, unfinished),
};
static const struct field forgotten_fields[] = {
    BYTES(msg_forgotten, 1, uploads, 16 * PROTO_FORGET_MAX),
    TEXT(msg_forgotten, 2, error, OPTIONAL, PROTO_TEXT_MAX),
};

static const struct field fetch_fields[] = {
    ID(msg_fetch, 1, upload, REQUIRED),
    NUMBER(msg_fetch, 2, offset, OPTIONAL, SIZE_LIMIT),
    NUMBER(msg_fetch, 3, length, OPTIONAL, SIZE_LIMIT),
    NUMBER(msg_fetch, 4, position, OPTIONAL, SIZE_LIMIT),
    NUMBER(msg_fetch, 5, credit, OPTIONAL, SIZE_LIMIT),
    FLAG(msg_fetch, 6, ahead),
    FLAG(msg_fetch, 7, cancel),
};
static const struct field data_fields[] = {
    ENUM(msg_data, 1, state, REQUIRED, DATA_UNKNOWN),
    NUMBER(msg_data, 2, position, OPTIONAL, SIZE_LIMIT),
    NUMBER(msg_data, 3, crc, OPTIONAL, ANY32),
    TEXT(msg_data, 4, why, OPTIONAL, PROTO_TEXT_MAX),
    BYTES(msg_data, 5, bytes, PROTO_PIECE_MAX), /* stays last: msg_encode_data_head */
};

static const struct schema messages[] = {
    [MSG_HELLO] = SCHEMA("HELLO", msg_hello, hello_fields),
    [MSG_WELCOME] = SCHEMA("WELCOME", msg_welcome, welcome_fields),
    [MSG_PLAN] = SCHEMA("PLAN", msg_plan, plan_fields),
    [MSG_PLANNED] = SCHEMA("PLANNED", msg_planned, planned_fields),
    [MSG_OFFER] = SCHEMA("OFFER", msg_offer, offer_fields),
    [MSG_CLAIM] = SCHEMA("CLAIM", msg_claim, claim_fields),
    [MSG_VERDICT] = SCHEMA("VERDICT", msg_verdict, verdict_fields),
    [MSG_HEARTBEAT] = SCHEMA("HEARTBEAT", msg_heartbeat, heartbeat_fields),
    [MSG_BEAT] = SCHEMA("BEAT", msg_beat, beat_fields),
    [MSG_RELEASE] = SCHEMA("RELEASE", msg_release, release_fields),
    [MSG_PARTS] = SCHEMA("PARTS", msg_parts, parts_fields),
    [MSG_PARTLIST] = SCHEMA("PARTLIST", msg_partlist, partlist_fields),
    [MSG_COMPLETE] = SCHEMA("COMPLETE", msg_complete, complete_fields),
    [MSG_ACK] = SCHEMA("ACK", msg_ack, ack_fields),
    [MSG_TAIL] = SCHEMA("TAIL", msg_tail, tail_fields),
    [MSG_RECORDS] = SCHEMA("RECORDS", msg_records, records_fields),
    [MSG_STATUS] = SCHEMA("STATUS", msg_status, status_fields),
    [MSG_STATE] = SCHEMA("STATE", msg_state, state_fields),
    [MSG_BYE] = {.name = "BYE", .size = sizeof(struct msg_bye)},
    [MSG_ERROR] = SCHEMA("ERROR", msg_error, error_fields),
    [MSG_FETCH] = SCHEMA("FETCH", msg_fetch, fetch_fields),
    [MSG_DATA] = SCHEMA("DATA", msg_data, data_fields),
    [MSG_SET] = SCHEMA("SET", msg_set, set_fields),
    [MSG_SETTINGS] = SCHEMA("SETTINGS", msg_settings, settings_fields),
    [MSG_FORGET] = SCHEMA("FORGET", msg_forget, forget_fields),
    [MSG_FORGOTTEN] = SCHEMA("FORGOTTEN", msg_forgotten, forgotten_fields),
};
/* clang-format on */

const struct schema *message_schema(enum msg_type type) {
    if (type < MSG_HELLO || (size_t)type >= sizeof messages / sizeof messages[0] || !messages[type].name)
        return NULL;
    return &messages[type];
}

const char *msg_type_name(enum msg_type type) {
    const struct schema *s = message_schema(type);
    return s ? s->name : "unknown";
}

size_t message_frame_max(enum msg_type type) {
    switch (type) {
    case MSG_OFFER:
        return PROTO_OFFER_MAX;
    case MSG_FETCH:
        return PROTO_FETCH_MAX;
    case MSG_DATA:
        return PROTO_DATA_MAX;
    default:
        return PROTO_FRAME_MAX;
    }
}
