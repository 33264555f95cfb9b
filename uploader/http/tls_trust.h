/*
 * The certificate authorities that TLS trusts, found as the AWS CLI, curl and OpenSSL find them.
 *
 * The first one that is set of --ca-cert, AWS_CA_BUNDLE, ca_bundle of the profile, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and
 * SSL_CERT_FILE replaces the system's file. SSL_CERT_DIR replaces the system's directory.
 */
#ifndef CHUNKLIFT_TLS_TRUST_H
#define CHUNKLIFT_TLS_TRUST_H

#include "aws/aws_settings.h"
#include "pure/err.h"

struct tls_trust {
    char *file, *directory; /* NULL: the system's */
    char problem[512];      /* why the file that is set cannot be used, one line; empty: no problem */
};

/* Sets t, its problem included. ca_cert: --ca-cert, or NULL. ERR_NOMEM: t is empty. tls_trust_release frees it. */
int tls_trust_find(struct tls_trust *t, const char *ca_cert, const struct aws_settings *aws) MUST_CHECK;
void tls_trust_release(struct tls_trust *t);

#endif
