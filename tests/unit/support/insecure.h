/* For tests with tcp endpoints without keys: does the same as --insecure, before the first test runs. */
#ifndef CHUNKLIFT_UNIT_INSECURE_H
#define CHUNKLIFT_UNIT_INSECURE_H

#include "runtime/keys.h"
#include <stdlib.h>

__attribute__((constructor)) static void be_insecure(void) {
    static const struct key_options o = {.insecure = true};
    if (keys_setup(&o, 0))
        abort();
}

#endif
