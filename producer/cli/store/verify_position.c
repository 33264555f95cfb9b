#include "producer/cli/store/verify_position.h"

#include "pure/buf.h"
#include "system/file_io.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME "verify"
#define FORM                                                                                                           \
    "chunklift-verify 1\nkey %016" PRIx64 "\nstore %" PRIu64 "\nafter %" PRIu64 "\ncompared %" PRIu64                  \
    "\ndifferences %" PRIu64 "\nfailed %" PRIu64 "\n"
#define SCAN                                                                                                           \
    "chunklift-verify 1\nkey %16" SCNx64 "\nstore %" SCNu64 "\nafter %" SCNu64 "\ncompared %" SCNu64                   \
    "\ndifferences %" SCNu64 "\nfailed %" SCNu64 "\n"
#define FIELDS 6
#define FILE_MAX 512
#define COUNTS_FOR_S ((time_t)24 * 3600)

static int position_path(const char *dir, struct buf *path) {
    return buf_addf(path, "%s/" NAME, dir);
}

static bool position_is_recent(int fd) {
    struct stat st;
    time_t now = time(NULL);
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mtime <= now && now - st.st_mtime < COUNTS_FOR_S;
}

bool verify_position_load(const char *dir, struct verify_position *p) {
    struct buf path = BUF_INIT, text = BUF_INIT;
    struct verify_position read = {0};
    int fd = position_path(dir, &path) ? -1 : open(path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool counts = fd != -1 && position_is_recent(fd) && file_read_all(fd, &text, FILE_MAX) == 0;
    if (fd != -1)
        close(fd);
    /* NOLINTNEXTLINE(cert-err34-c): the file is a help; numbers that overflow are those of no journal */
    counts = counts && text.data &&
             sscanf(text.data, SCAN, &read.key, &read.store, &read.after, &read.done.compared, &read.done.differences,
                    &read.done.failed) == FIELDS;
    buf_release(&path);
    buf_release(&text);
    if (!counts || read.key != p->key)
        return false;
    *p = read;
    return true;
}

int verify_position_save(const char *dir, const struct verify_position *p) {
    char text[FILE_MAX];
    int len = snprintf(text, sizeof text, FORM, p->key, p->store, p->after, p->done.compared, p->done.differences,
                       p->done.failed);
    int err = file_replace_write(dir, NAME, slice_make(text, (size_t)len), false);
    return err ? err : file_replace_rename(dir, NAME, false);
}

void verify_position_remove(const char *dir) {
    struct buf path = BUF_INIT;
    if (position_path(dir, &path) == 0)
        (void)unlink(path.data);
    buf_release(&path);
}
