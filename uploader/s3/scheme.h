/*
 * Detects an endpoint that was written with http:// and speaks TLS, or the reverse.
 *
 * The failure itself does not identify it: it is a reset, a TLS alert read as HTTP/0.9, a 400 of
 * the TLS library, or a failed handshake. The first such failure of an endpoint that has never
 * answered starts one unsigned request with the other scheme, in parallel to the retries. When that
 * is answered, later requests to the endpoint fail at once.
 */
#ifndef CHUNKLIFT_S3_SCHEME_H
#define CHUNKLIFT_S3_SCHEME_H

#include "uploader/s3/op.h"

/* Takes every reply; e is NULL for a good one. An error that a wrong scheme may explain becomes
 * transient until the probe is answered. */
void s3_scheme_take_reply(struct s3_op *op, const struct http_reply *r, struct s3_error *e);
/* True when the endpoint is known to speak the other scheme; why gets one line. */
bool s3_scheme_is_wrong(const struct s3_op *op, char *why, size_t why_size);

#endif
