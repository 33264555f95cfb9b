/* The meaning of the findings about a destination. Pure. */
#ifndef CHUNKLIFT_EXAMINE_JUDGE_H
#define CHUNKLIFT_EXAMINE_JUDGE_H

#include "pure/buf.h"
#include "system/check_report.h"
#include "system/fs_facts.h"
#include "uploader/aws/aws_credentials.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"

void examine_judge_credentials(struct check *c, const struct aws_credentials_facts *f, int64_t now_us);
/* Seconds since 1970, by the clock of this host and by that of the store. */
void examine_judge_clock(struct check *c, int64_t local_s, int64_t store_s);
/* The certificate of a store was verified with these authorities. expires_s: its end; 0: not known. */
void examine_judge_certificate(struct check *c, int64_t now_s, int64_t expires_s, const char *authorities);
/* An endpoint without TLS; address: of the store. */
void examine_judge_no_tls(struct check *c, const char *address);
/* The answer to S3_ASK_BUCKET. found_region: the one that the store named; NULL: none. write: uploads are tried after it. */
void examine_judge_bucket(struct check *c, struct slice bucket, const struct task_result *r, const char *found_region,
                          bool write);
/* The way that --integrity auto chose, and the ways that the store verifies. */
void examine_judge_integrity(struct check *c, enum integrity chosen, const bool verifies[INTEGRITY_SHA256 + 1]);
/* The file system of a file:// destination. */
void examine_judge_disk(struct check *c, const struct fs_facts *fs);

#endif
