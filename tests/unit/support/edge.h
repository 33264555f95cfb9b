/* Texts that end at an unreadable page: a function that reads past the end of its slice ends the test program. */
#ifndef CHUNKLIFT_TEST_EDGE_H
#define CHUNKLIFT_TEST_EDGE_H

#include "pure/buf.h"

#define EDGE_MAX ((size_t)1 << 20)

/* A copy of bytes, at most EDGE_MAX. The byte after it cannot be read. The copy stays valid for three further calls. */
struct slice edge_slice(struct slice bytes);

/* The same of a string, without its NUL. */
struct slice edge_text(const char *text);

#endif
