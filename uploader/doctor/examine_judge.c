#include "uploader/doctor/examine_judge.h"

#include "pure/rfc3339.h"
#include "pure/units.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE_S 60
#define DAY_S ((int64_t)24 * 3600)
#define SKEW_WARN_S (1 * MINUTE_S)
#define SKEW_REFUSED_S (15 * MINUTE_S) /* Amazon S3 API reference, "RequestTimeTooSkewed" */
#define CERTIFICATE_WARN_S (14 * DAY_S)
#define CREDENTIALS_WARN_S (10 * MINUTE_S) /* sources that are fetched are asked again 5 minutes before */

/* "17 minutes", "40 seconds", "3 days". */
static const char *judge_span(int64_t seconds, char out[UNITS_TEXT_SIZE]) {
    static const struct {
        int64_t unit_s, from_s;
        const char *name;
    } units[] = {{DAY_S, 2 * DAY_S, "days"}, {3600, 2 * 3600, "hours"}, {MINUTE_S, 2 * MINUTE_S, "minutes"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (seconds >= units[i].from_s) {
            snprintf(out, UNITS_TEXT_SIZE, "%" PRId64 " %s", seconds / units[i].unit_s, units[i].name);
            return out;
        }
    snprintf(out, UNITS_TEXT_SIZE, "%" PRId64 " second%s", seconds, seconds == 1 ? "" : "s");
    return out;
}

void examine_judge_credentials(struct check *c, const struct aws_credentials_facts *f, int64_t now_us) {
    char end[RFC3339_SIZE], text[80] = "";
    int64_t left_s = (f->expires_us - now_us) / 1000000;
    if (f->expires_us) {
        rfc3339_format(f->expires_us, end);
        snprintf(text, sizeof text, ", valid until %.19sZ", end);
    }
    bool ends_soon = f->expires_us && left_s < CREDENTIALS_WARN_S;
    check_set(c, ends_soon ? CHECK_WARN : CHECK_OK, ends_soon ? "renew them, or let their source give longer ones" : "",
              "%s (%s…, %s%s)", f->source, f->key_start, f->has_token ? "with a session token" : "no session token",
              text);
}

void examine_judge_clock(struct check *c, int64_t local_s, int64_t store_s) {
    char span[UNITS_TEXT_SIZE];
    int64_t off_s = llabs(local_s - store_s);
    const char *side = local_s < store_s ? "behind" : "ahead of";
    judge_span(off_s, span);
    if (off_s >= SKEW_REFUSED_S)
        check_set(c, CHECK_FAIL, "set it, requests are refused beyond 15 minutes", "%s %s the store's", span, side);
    else if (off_s >= SKEW_WARN_S)
        check_set(c, CHECK_WARN, "set it, requests are refused beyond 15 minutes", "%s %s the store's", span, side);
    else
        check_set(c, CHECK_OK, "", "within %d s of the store's", off_s < 5 ? 5 : SKEW_WARN_S);
}

void examine_judge_certificate(struct check *c, int64_t now_s, int64_t expires_s, const char *authorities) {
    char span[UNITS_TEXT_SIZE], end[RFC3339_SIZE];
    int64_t left_s = expires_s > now_s ? expires_s - now_s : 0;
    if (!expires_s) {
        check_set(c, CHECK_OK, "", "the certificate was verified with %s", authorities);
        return;
    }
    rfc3339_format(expires_s * 1000000, end);
    judge_span(left_s, span);
    if (left_s < CERTIFICATE_WARN_S)
        check_set(c, CHECK_WARN, "have the store's operator renew it", "the store's certificate ends in %s, at %.19sZ",
                  span, end);
    else
        check_set(c, CHECK_OK, "", "the certificate was verified with %s, and ends in %s", authorities, span);
}

void examine_judge_no_tls(struct check *c, const char *address) {
    bool here = strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
    if (here)
        check_set(c, CHECK_OK, "", "not used, the store is on this host");
    else
        check_set(c, CHECK_WARN, "use https:// if the store speaks it",
                  "not used: others on the network can read the bytes");
}

/* --- the bucket --- */

static const char *judge_failure_remedy(const struct task_result *r) {
    switch (r->class) {
    case FAIL_NO_BUCKET:
        return "create it, or correct DEST";
    case FAIL_CLOCK:
        return "set the clock of this host";
    case FAIL_DENIED:
        return "correct the access keys, or let their owner allow it";
    case FAIL_OUTAGE:
        return "try again later, or look at the store";
    case FAIL_FULL:
        return "make room there";
    default:
        return "is the endpoint URL right?";
    }
}

void examine_judge_bucket(struct check *c, struct slice bucket, const struct task_result *r, const char *found_region,
                          bool write) {
    int len = (int)bucket.len;
    char remedy[128];
    if (r->outcome == OUTCOME_DONE && found_region) {
        snprintf(remedy, sizeof remedy, "set --region %s", found_region);
        check_set(c, CHECK_WARN, remedy, "%.*s is in the region %s, and requests are first signed for another one", len,
                  bucket.ptr, found_region);
    } else if (r->outcome == OUTCOME_DONE) {
        check_set(c, CHECK_OK, "", "%.*s exists", len, bucket.ptr);
    } else if (r->class == FAIL_DENIED && r->own == OWN_MAYBE) {
        check_set(c, CHECK_WARN,
                  write ? "uploads may work all the same, see below"
                        : "uploads may work all the same; --write tries one",
                  "%.*s: these keys may not list it (%s)", len, bucket.ptr, r->error);
    } else {
        check_set_text(c, CHECK_FAIL, r->error);
        if (!c->remedy[0])
            snprintf(c->remedy, sizeof c->remedy, "%s", judge_failure_remedy(r));
    }
}

void examine_judge_integrity(struct check *c, enum integrity chosen, const bool verifies[INTEGRITY_SHA256 + 1]) {
    static const enum integrity ways[] = {INTEGRITY_CRC32C, INTEGRITY_MD5, INTEGRITY_SHA256};
    char names[64] = "";
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (verifies[ways[i]])
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] ? ", " : "",
                     integrity_name(ways[i]));
    if (chosen == INTEGRITY_NONE || chosen == INTEGRITY_UNKNOWN)
        check_set(c, CHECK_WARN, "use https, or compare the objects",
                  "the store confirms bytes with no checksum: nothing shows that bytes arrive as they were sent");
    else
        check_set(c, CHECK_OK, "", "the store confirms bytes with %s; --integrity auto uses %s",
                  names[0] ? names : "no checksum", integrity_name(chosen));
}

/* --- a directory --- */

void examine_judge_disk(struct check *c, const struct fs_facts *fs) {
    char bytes[UNITS_TEXT_SIZE];
    const char *name = fs->name ? fs->name : "a file system of another kind";
    size_format(fs->free_bytes, bytes);
    if (fs->free_bytes == 0 || fs->free_files == 0)
        check_set(c, CHECK_FAIL, "make room there", "no %s free on %s", fs->free_bytes == 0 ? "space" : "inode is",
                  name);
    else if (fs->kind == FS_MEMORY)
        check_set(c, CHECK_WARN, "name a directory on a disk",
                  "%s free on %s, which is memory: a restart of the machine loses the files", bytes, name);
    else
        check_set(c, CHECK_OK, "", "%s free on %s", bytes, name);
}
