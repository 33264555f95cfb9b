/*
 * Which certificate authorities TLS trusts: the files that the AWS CLI, curl and OpenSSL programs are told about. The
 * first of AWS_CA_BUNDLE, ca_bundle of the profile, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE takes the
 * place of the system's file; SSL_CERT_DIR takes the place of the system's directory.
 */
#ifndef CHUNKLIFT_TLS_TRUST_H
#define CHUNKLIFT_TLS_TRUST_H

#include "aws/aws_settings.h"
#include "pure/err.h"

struct tls_trust {
    char *file, *directory; /* NULL: the system's */
    char problem[512];      /* why they cannot be used, one line; empty: nothing is wrong */
};

/* ERR_NOMEM only. */
int tls_trust_find(struct tls_trust *t, const struct aws_settings *aws) MUST_CHECK;
void tls_trust_release(struct tls_trust *t);

#endif
