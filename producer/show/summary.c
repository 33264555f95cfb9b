#include "producer/show/summary.h"
#include "pure/text.h"
#include "pure/units.h"
#include <inttypes.h>

static const char *summary_plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

static void summary_print_skipped(FILE *out, const struct producer_stats *c) {
    if (c->files_skipped > 0)
        fprintf(out,
                "%" PRIu64 " skipped: the journal shows %s uploaded; not looked at in the destination (--force sends "
                "again)\n",
                c->files_skipped, c->files_skipped == 1 ? "it" : "them");
    if (c->files_verified > 0)
        fprintf(out, "%" PRIu64 " of them verified by content: other inode or ctime than recorded, the same bytes\n",
                c->files_verified);
    if (c->links_skipped > 0)
        fprintf(out, "%" PRIu64 " link%s not followed\n", c->links_skipped, summary_plural(c->links_skipped));
    if (c->empty_dirs > 0)
        fprintf(out, "%" PRIu64 " empty director%s not kept\n", c->empty_dirs, c->empty_dirs == 1 ? "y" : "ies");
    if (c->other_skipped > 0)
        fprintf(out, "%" PRIu64 " special file%s (fifos, sockets, devices) skipped\n", c->other_skipped,
                summary_plural(c->other_skipped));
}

static void summary_print_name(FILE *out, const char *label, const char *name) {
    struct buf shown = BUF_INIT;
    if (name && text_add_printable(&shown, slice_of(name)) == 0)
        fprintf(out, "%s: %s\n", label, shown.len > 0 ? shown.data : "");
    buf_release(&shown);
}

void summary_print(FILE *out, const struct producer_stats *c, double seconds, const char *dest,
                   const char *journal_dir) {
    char sent[UNITS_TEXT_SIZE], again[UNITS_TEXT_SIZE], rate[UNITS_TEXT_SIZE];
    fprintf(out, "%" PRIu64 " file%s uploaded, %s in %.1f s (%s), %s sent twice", c->files_done,
            summary_plural(c->files_done), format_size(c->bytes_sent_now, sent), seconds,
            format_rate(seconds > 0 ? (double)c->bytes_sent_now / seconds : 0, rate),
            format_size(c->bytes_resent, again));
    uint64_t failed = c->files_failed + c->source_errors;
    if (failed > 0)
        fprintf(out, ", %" PRIu64 " failed", failed);
    if (c->retries > 0)
        fprintf(out, ", %" PRIu64 " retr%s", c->retries, c->retries == 1 ? "y" : "ies");
    fputc('\n', out);
    summary_print_skipped(out, c);
    summary_print_name(out, "destination", dest);
    summary_print_name(out, "journal", journal_dir);
}
