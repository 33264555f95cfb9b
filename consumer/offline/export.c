#include "consumer/offline/export.h"

#include "consumer/json_out.h"
#include "consumer/offline/carry.h"
#include "consumer/offline/offline_journal.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/output.h"
#include <inttypes.h>
#include <stdio.h>

static int print(void *arg, struct record *r, uint64_t first_seq) {
    char id[ID_HEX_SIZE], crc[CRC_TEXT_SIZE], when[RFC3339_SIZE], mtime[NANOTIME_TEXT_SIZE];
    (void)arg, (void)first_seq;
    if (r->ev == EV_SAME) /* its carry was printed */
        return 0;
    id_to_hex(&r->upload, id);
    crc32c_to_text(r->crc, crc);
    rfc3339_format(r->since_ns / 1000, when);
    printf("{\"upload\":\"%s\"", id);
    json_out_name("dest", r->dest);
    if (r->endpoint.len)
        json_out_name("endpoint", r->endpoint);
    json_out_name("src", r->src);
    if (r->source.len)
        json_out_name("source", r->source);
    printf(",\"size\":%" PRIu64 ",\"crc\":\"%s\"", r->size, crc);
    if (r->etag.len)
        json_out_name("etag", r->etag);
    printf(",\"mtime_ns\":\"%s\",\"finished\":\"%s\",\"seq\":%" PRIu64 "}\n", nanotime_format(r->mtime_ns, mtime), when,
           r->seq);
    return output_check();
}

int export(const char *dir) {
    struct upkeep u;
    int err = upkeep_read(&u, dir);
    if (!err)
        err = carried_finished(dir, &u.state, UINT64_MAX, u.last_seq, print, NULL);
    int written = output_flush();
    err = written ? written : err;
    if (err == ERR_NOMEM)
        log_error("out of memory");
    upkeep_release(&u);
    return err;
}
