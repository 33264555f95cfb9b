/*
 * The destinations that one uploader can serve: the --allow list of its HELLO, less the locations
 * that its last HEARTBEAT reported as troubled. A location is an endpoint URL or a file://
 * directory.
 *
 * All times are lease time (leases_time), in milliseconds.
 */
#ifndef CHUNKLIFT_CONSUMER_DESTINATIONS_H
#define CHUNKLIFT_CONSUMER_DESTINATIONS_H

#include "consumer/state/upload.h"
#include "pure/proto.h"

#define ALLOW_KEPT_MAX 4096 /* bytes of an --allow list; an uploader with a longer one counts as unrestricted */

struct peer_trouble {
    char *location, *error;
    enum fail_class class;
    bool sure; /* every job at this location would fail */
    uint64_t since_ms, out_until_ms;
};

struct destinations {
    char *allow; /* strings with their NUL, one after the other; NULL: every destination */
    size_t allow_len;
    struct peer_trouble troubles[PROTO_TROUBLES_MAX];
    size_t trouble_count;
};

/* Without memory for the list every destination counts as allowed. */
void destinations_allow(struct destinations *d, const struct slice *allow, size_t count);
void destinations_release(struct destinations *d);
/* Replaces the troubles. Those that memory does not suffice for are missing. */
void destinations_note_troubles(struct destinations *d, const struct trouble *troubles, size_t count, uint64_t now_ms);
/* Fills out (room for PROTO_TROUBLES_MAX) for STATE. Returns the count. The texts stay d's. */
size_t destinations_describe(const struct destinations *d, struct trouble *out, uint64_t now_ms);

/* The --allow list has a destination at this location. */
bool destinations_allow_location(const struct destinations *d, const char *location);
/* The --allow list has the upload's destination, and no trouble makes every job there fail. */
bool destinations_have(const struct destinations *d, const struct upload_identity *is, uint64_t now_ms);
bool destinations_are_troubled(const struct destinations *d, const char *location);

#endif
