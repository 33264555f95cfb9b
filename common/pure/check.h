/* CHECK: an assertion that is always on. Its expression has no side effects. Never used on bytes from a peer or a disk, on
 * I/O or on memory. */
#ifndef CHUNKLIFT_CHECK_H
#define CHUNKLIFT_CHECK_H

_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression) ((expression) ? (void)0 : check_failed(#expression, __FILE__, __LINE__))

#endif
