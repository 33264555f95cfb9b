#include "system/descriptors.h"
#include "pure/arith.h"

#include "system/log.h"
#include <dirent.h>
#include <sys/param.h>
#include <sys/resource.h>

#define DESCRIPTORS_MAX 65536
#define DESCRIPTORS_INHERITED 8 /* assumed when /proc cannot be read */

void descriptors_raise(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t most = MIN(limit.rlim_max, DESCRIPTORS_MAX);
    limit.rlim_cur = MAX(limit.rlim_cur, most);
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static size_t descriptors_count_open(void) {
    DIR *dir = opendir("/proc/self/fd");
    size_t count = 0;
    if (!dir)
        return DESCRIPTORS_INHERITED;
    while (readdir(dir))
        count++;
    closedir(dir);
    return sub_or_zero(count, 3); /* ".", ".." and the directory itself */
}

static size_t descriptors_limit(void) {
    struct rlimit limit = {.rlim_cur = DESCRIPTORS_MAX};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return MIN(limit.rlim_cur, DESCRIPTORS_MAX);
}

size_t descriptors_free(void) {
    size_t limit = descriptors_limit(), used = descriptors_count_open();
    return sub_or_zero(limit, used);
}

int descriptors_require(size_t needed) {
    descriptors_raise();
    size_t available = descriptors_free();
    if (available >= needed)
        return 0;
    log_error("the limit of open files is %zu, and at least %zu are needed; raise it (ulimit -n, LimitNOFILE=)",
              descriptors_limit(), descriptors_limit() - available + needed);
    return ERR_DESCRIPTORS;
}
