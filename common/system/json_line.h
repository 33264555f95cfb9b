/*
 * One JSON object as a line on stdout, built field by field. The first error (out of memory) is kept, and nothing is
 * printed then.
 */
#ifndef CHUNKLIFT_JSON_LINE_H
#define CHUNKLIFT_JSON_LINE_H

#include "pure/buf.h"
#include "pure/ids.h"
#include <stdbool.h>
#include <stdint.h>

struct json_line {
    struct buf text;
    int err;
};

/* The first field is "event"; NULL: the object has no such field. */
void json_line_begin(struct json_line *l, const char *event);
void json_line_text(struct json_line *l, const char *key, struct slice value); /* not UTF-8: made printable */
void json_line_name(struct json_line *l, const char *key, struct slice name);  /* not UTF-8: KEY_b64 */
void json_line_id(struct json_line *l, const char *key, const struct id128 *id);
void json_line_number(struct json_line *l, const char *key, uint64_t value);
void json_line_time(struct json_line *l, const char *key, int64_t real_us);
void json_line_bool(struct json_line *l, const char *key, bool value);
/* Prints the line and releases the memory. 0, or ERR_NOMEM; errors of stdout are left to ferror. */
int json_line_end(struct json_line *l);

#endif
