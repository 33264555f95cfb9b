#include "producer/cli/store/manifest.h"

#include "pure/digest.h"
#include "pure/json_reader.h"
#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct manifest {
    const char *path;
    FILE *file;
    char *line;
    size_t line_size;
    uint64_t number;
    struct buf scratch;
};

static int manifest_failed(const struct manifest *m) {
    int error = errno;
    log_error("%s: %s", m->path, strerror(error));
    return err_from_errno(error);
}

/* A pipe gives its lines once. */
static int manifest_refuse(const struct manifest *m) {
    log_error("%s: not a regular file, and it is read twice; write the export into a file first", m->path);
    return ERR_USAGE;
}

int manifest_open(struct manifest **out, const char *path) {
    struct manifest *m = calloc(1, sizeof *m);
    *out = m;
    if (!m)
        return ERR_NOMEM;
    m->path = path;
    struct stat st;
    int err = stat(path, &st) == 0 && !S_ISREG(st.st_mode) ? manifest_refuse(m) : 0;
    if (!err && !(m->file = fopen(path, "re")))
        err = manifest_failed(m);
    if (err)
        manifest_close(out);
    return err;
}

void manifest_close(struct manifest **mm) {
    struct manifest *m = *mm;
    if (!m)
        return;
    if (m->file)
        fclose(m->file);
    free(m->line);
    buf_release(&m->scratch);
    free(m);
    *mm = NULL;
}

/* ---- one line ---- */

enum manifest_need { NEED_UPLOAD = 1, NEED_DEST = 2, NEED_SIZE = 4, NEED_CRC = 8 };
#define NEED_ALL 15u

static int manifest_read_member(struct json_reader *in, struct slice key, struct record *r, unsigned *found) {
    struct slice text;
    int err;
    if (slice_equal(key, slice_of("size"))) {
        *found |= NEED_SIZE;
        return json_read_u64(in, &r->file.size);
    }
    if (slice_equal(key, slice_of("dest_b64"))) {
        *found |= NEED_DEST;
        return json_read_base64(in, &r->dest);
    }
    if (slice_equal(key, slice_of("dest"))) {
        *found |= NEED_DEST;
        return json_read_string(in, &r->dest);
    }
    if (slice_equal(key, slice_of("endpoint")))
        return json_read_string(in, &r->endpoint);
    if (slice_equal(key, slice_of("etag"))) {
        r->has |= HAS_ETAG;
        return json_read_string(in, &r->etag);
    }
    if (slice_equal(key, slice_of("upload"))) {
        *found |= NEED_UPLOAD;
        err = json_read_string(in, &text);
        return err ? err : id_from_hex(&r->upload, text);
    }
    if (slice_equal(key, slice_of("crc"))) {
        *found |= NEED_CRC;
        err = json_read_string(in, &text);
        return err ? err : crc32c_from_text(text, &r->crc);
    }
    return json_skip_value(in);
}

static int manifest_parse(struct slice line, struct record *r, struct buf *scratch) {
    struct json_reader in = json_reader_of(line, scratch);
    unsigned found = 0;
    if (!JSON_TAKE(&in, "{"))
        return ERR_INVALID;
    do {
        struct slice key;
        int err = json_read_string(&in, &key);
        if (!err && !JSON_TAKE(&in, ":"))
            err = ERR_INVALID;
        if (!err)
            err = manifest_read_member(&in, key, r, &found);
        if (err)
            return err == ERR_NOMEM ? err : ERR_INVALID;
    } while (json_take_byte(&in, ','));
    return JSON_TAKE(&in, "}") && in.at == in.end && found == NEED_ALL ? 0 : ERR_INVALID;
}

int manifest_next(struct manifest *m, struct record *r) {
    ssize_t len = getline(&m->line, &m->line_size, m->file);
    if (len < 0 && ferror(m->file))
        return manifest_failed(m);
    if (len < 0)
        return ERR_NOT_FOUND;
    len -= len > 0 && m->line[len - 1] == '\n';
    buf_clear(&m->scratch);
    *r = (struct record){.ev = EV_CARRY, .kind = slice_of(CARRY_FINISHED), .seq = ++m->number};
    int err = manifest_parse(slice_make(m->line, (size_t)len), r, &m->scratch);
    if (err == ERR_INVALID)
        log_error("%s:%llu: not a line of 'chunklift journal export'", m->path, (unsigned long long)m->number);
    return err;
}
