#include "consumer/offline/export.h"

#include "consumer/offline/carry_forward.h"
#include "consumer/offline/offline_journal.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"

static int export_print(void *arg, struct record *r, uint64_t first_seq) {
    char crc[CRC_TEXT_SIZE], mtime[NANOTIME_TEXT_SIZE];
    struct json_line l;
    (void)arg, (void)first_seq;
    if (r->ev == EV_SAME) /* its carry was printed */
        return 0;
    crc32c_to_text(r->crc, crc);
    json_line_begin(&l, NULL);
    json_line_id(&l, "upload", &r->upload);
    json_line_name(&l, "dest", r->dest);
    if (r->endpoint.len)
        json_line_name(&l, "endpoint", r->endpoint);
    json_line_name(&l, "src", r->src);
    if (r->source.len)
        json_line_name(&l, "source", r->source);
    json_line_number(&l, "size", r->file.size);
    json_line_text(&l, "crc", slice_of(crc));
    if (r->etag.len)
        json_line_name(&l, "etag", r->etag);
    json_line_text(&l, "mtime_ns", slice_of(nanotime_format(r->file.mtime_ns, mtime)));
    json_line_time(&l, "finished", r->since_ns / 1000);
    json_line_number(&l, "seq", r->seq);
    int err = json_line_end(&l);
    return err ? err : output_check();
}

int journal_export(const char *dir) {
    struct offline_journal j;
    int err = offline_journal_read(&j, dir);
    if (!err)
        err = carry_forward_finished(dir, &j.state, UINT64_MAX, j.last_seq, false, export_print, NULL);
    int written = output_flush();
    err = written ? written : err;
    if (err == ERR_NOMEM)
        log_error("out of memory");
    offline_journal_release(&j);
    return err;
}
