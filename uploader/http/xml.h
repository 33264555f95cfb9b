/*
 * Reads the XML of HTTP replies with expat: a callback for each element, with its path and text.
 *
 * Replies are untrusted. Document size, nesting and text are limited. A document type declaration
 * is refused, and with it every entity. Namespaces and prefixes are ignored.
 */
#ifndef CHUNKLIFT_XML_H
#define CHUNKLIFT_XML_H

#include "pure/buf.h"
#include "pure/err.h"

/* Called at the end of each element. path: the names of the open elements
 * ("ListPartsResult/Part/ETag"). text: the text since the last tag, for an element without children
 * all of it. A result other than 0 ends the parse with it. */
typedef int xml_element_handler(void *arg, const char *path, struct slice text);

/* ERR_NOT_FOUND: another root element. ERR_INVALID: not well-formed, or with a document type.
 * ERR_LIMIT: larger than 1 MiB, or nesting or text exceed their limits. ERR_NOMEM. Else the result
 * of on_element. */
int xml_parse(struct slice body, const char *root, xml_element_handler *on_element, void *arg) MUST_CHECK;

/* --- values --- */

/* Copies text and a NUL. ERR_LIMIT: it does not fit. ERR_INVALID: it contains a NUL. */
int xml_text_copy(struct slice text, char *out, size_t size) MUST_CHECK;
/* The same for messages to people: cuts text that does not fit, between two characters. */
void xml_text_copy_cut(struct slice text, char *out, size_t size);
/* True: every parser of XML reads exactly these bytes. False for bytes that are not UTF-8, for control characters and
 * U+FFFE, which XML folds or cannot contain, and for blanks that some parsers cut (at the ends) or join (two in a row). */
bool xml_text_is_plain(struct slice text);
/* Appends text with & < > escaped. ERR_INVALID: a control character that XML cannot contain. */
int xml_escape_add(struct buf *out, struct slice text) MUST_CHECK;

#endif
