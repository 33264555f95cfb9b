#include "producer/show/summary.h"
#include "pure/arith.h"
#include "pure/text.h"
#include "pure/units.h"
#include <inttypes.h>
#include <sys/param.h>

static const char *summary_plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

static void summary_print_skipped(FILE *out, const struct producer_stats *stats) {
    if (stats->files_skipped > 0)
        fprintf(out,
                "%" PRIu64 " skipped: the journal shows %s uploaded; not looked at in the destination (--force sends "
                "again)\n",
                stats->files_skipped, stats->files_skipped == 1 ? "it" : "them");
    if (stats->files_verified > 0)
        fprintf(out, "%" PRIu64 " of them verified by content: other inode or ctime than recorded, the same bytes\n",
                stats->files_verified);
    if (stats->links_skipped > 0)
        fprintf(out, "%" PRIu64 " link%s not followed\n", stats->links_skipped, summary_plural(stats->links_skipped));
    if (stats->empty_dirs > 0)
        fprintf(out, "%" PRIu64 " empty director%s not kept\n", stats->empty_dirs,
                stats->empty_dirs == 1 ? "y" : "ies");
    if (stats->other_skipped > 0)
        fprintf(out, "%" PRIu64 " special file%s (fifos, sockets, devices) skipped\n", stats->other_skipped,
                summary_plural(stats->other_skipped));
}

static void summary_print_name(FILE *out, const char *label, const char *name) {
    struct buf shown = BUF_INIT;
    if (name && text_add_printable(&shown, slice_of(name)) == 0)
        fprintf(out, "%s: %s\n", label, shown.len > 0 ? shown.data : "");
    buf_release(&shown);
}

void summary_print(FILE *out, const struct producer_stats *stats, double seconds, const char *dest,
                   const char *journal_dir) {
    char sent[UNITS_TEXT_SIZE], again[UNITS_TEXT_SIZE], rate[UNITS_TEXT_SIZE];
    fprintf(out, "%" PRIu64 " file%s uploaded, %s in %.1f s (%s), %s sent twice", stats->files_done,
            summary_plural(stats->files_done), size_format(stats->bytes_sent_now, sent), seconds,
            rate_format(seconds > 0 ? (double)stats->bytes_sent_now / seconds : 0, rate),
            size_format(stats->bytes_resent, again));
    uint64_t failed = stats->files_failed + stats->source_errors;
    if (failed > 0)
        fprintf(out, ", %" PRIu64 " failed", failed);
    if (stats->retries > 0)
        fprintf(out, ", %" PRIu64 " retr%s", stats->retries, stats->retries == 1 ? "y" : "ies");
    fputc('\n', out);
    summary_print_skipped(out, stats);
    summary_print_name(out, "destination", dest);
    summary_print_name(out, "journal", journal_dir);
}

const char *summary_describe_finishing(const struct producer_stats *stats, char text[SUMMARY_FINISHING_SIZE]) {
    char left[UNITS_TEXT_SIZE];
    uint64_t transfers = MIN(stats->leases, stats->slots);
    uint64_t bytes = stats->leases ? stats->lease_bytes / stats->leases * transfers : 0;
    if (transfers == 0)
        snprintf(text, SUMMARY_FINISHING_SIZE, "stopping; nothing is in flight");
    else
        snprintf(text, SUMMARY_FINISHING_SIZE, "finishing %" PRIu64 " transfer%s (%s left); again to stop now",
                 transfers, summary_plural(transfers), size_format(sub_or_zero(bytes, stats->bytes_moving), left));
    return text;
}
