/*
 * Lines of the journal and their parts. Lines are split by code of the tests' own, so that a test can omit, double, move and
 * change every field of every event.
 */
#ifndef CHUNKLIFT_RECORD_LINES_H
#define CHUNKLIFT_RECORD_LINES_H

#include "record_samples.h"
#include "unit.h"

#include "journal/record.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define PARTS_MAX 40

struct line_parts {
    struct part {
        char *text; /* `"name":value` */
    } part[PARTS_MAX];
    size_t count;
};

/* The line of a sample, without its newline. The caller releases it. */
struct buf sample_line(unsigned number);

/* The result of record_parse. */
int line_parse(const char *line);

void line_split(const struct buf *line, struct line_parts *p);
void line_parts_free(struct line_parts *p);

/* Parses the line without part `skip`, with part `twice` doubled and `extra` inserted before h. -1 and NULL: none. */
int line_parse_joined(const struct line_parts *p, int skip, int twice, const char *extra);

#endif
