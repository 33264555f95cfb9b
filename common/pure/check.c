#include "pure/check.h"
#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *expression, const char *file, int line) {
    fprintf(stderr, "chunklift: %s:%d: CHECK(%s) failed; this is a bug in chunklift\n", file, line, expression);
    fflush(stderr);
    abort();
}
