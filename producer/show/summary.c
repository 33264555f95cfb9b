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
    uint64_t unchanged = sub_or_zero(stats->files_skipped, stats->files_existing);
    if (unchanged > 0 && stats->files_checked > 0)
        fprintf(out, "%" PRIu64 " skipped: the journal shows %s uploaded, and the destination has %s\n", unchanged,
                unchanged == 1 ? "it" : "them", unchanged == 1 ? "it" : "them");
    else if (unchanged > 0)
        fprintf(out,
                "%" PRIu64 " skipped: the journal shows %s uploaded; not looked at in the destination (--force sends "
                "again)\n",
                unchanged, unchanged == 1 ? "it" : "them");
    if (stats->files_existing > 0)
        fprintf(out, "%" PRIu64 " skipped: there is an object at the destination (--ignore-existing)\n",
                stats->files_existing);
    if (stats->files_verified > 0)
        fprintf(out, "%" PRIu64 " of them verified by content: read, the same bytes as recorded\n",
                stats->files_verified);
    if (stats->files_excluded > 0 || stats->dirs_excluded > 0)
        fprintf(out, "%" PRIu64 " file%s and %" PRIu64 " director%s excluded\n", stats->files_excluded,
                summary_plural(stats->files_excluded), stats->dirs_excluded, stats->dirs_excluded == 1 ? "y" : "ies");
    if (stats->systems_skipped > 0)
        fprintf(out, "%" PRIu64 " director%s of other file systems skipped\n", stats->systems_skipped,
                stats->systems_skipped == 1 ? "y" : "ies");
    if (stats->links_skipped > 0)
        fprintf(out, "%" PRIu64 " link%s not followed\n", stats->links_skipped, summary_plural(stats->links_skipped));
    if (stats->empty_dirs > 0)
        fprintf(out, "%" PRIu64 " empty director%s not kept\n", stats->empty_dirs,
                stats->empty_dirs == 1 ? "y" : "ies");
    if (stats->other_skipped > 0)
        fprintf(out, "%" PRIu64 " special file%s (fifos, sockets, devices) skipped\n", stats->other_skipped,
                summary_plural(stats->other_skipped));
}

void summary_print_notes(FILE *out, const struct producer_stats *stats, const char *journal_dir) {
    struct buf shown = BUF_INIT;
    summary_print_skipped(out, stats);
    if (journal_dir && text_add_printable(&shown, slice_of(journal_dir)) == 0)
        fprintf(out, "journal: %s\n", shown.len > 0 ? shown.data : "");
    buf_release(&shown);
}

/* "4.2 s", "2 min 10 s", "1 h 2 min" */
static int summary_add_time(struct buf *line, double seconds) {
    uint64_t whole = (uint64_t)(seconds + 0.5);
    if (seconds < 60)
        return buf_addf(line, "%.1f s", seconds);
    if (whole < 3600)
        return buf_addf(line, "%" PRIu64 " min %" PRIu64 " s", whole / 60, whole % 60);
    return buf_addf(line, "%" PRIu64 " h %" PRIu64 " min", whole / 3600, whole / 60 % 60);
}

/* The files that have no result yet. */
static int summary_add_left(struct buf *line, const struct producer_stats *stats) {
    char text[UNITS_TEXT_SIZE];
    uint64_t ended = stats->files_done + stats->files_skipped + stats->files_failed;
    uint64_t left = sub_or_zero(stats->files_seen, ended);
    if (stats->walking)
        return left ? buf_addf(line, ", %s or more left", count_format(left, text))
                    : buf_add_text(line, ", not all files were looked at");
    return left ? buf_addf(line, ", %s left", count_format(left, text)) : 0;
}

int summary_add_line(struct buf *line, const struct producer_stats *stats, double seconds, const char *dest) {
    char count[UNITS_TEXT_SIZE], bytes[UNITS_TEXT_SIZE];
    double rate = seconds > 0 ? (double)stats->bytes_sent_now / seconds : 0;
    int err = text_add_printable(line, slice_of(dest));
    if (!err)
        err = buf_addf(line, ": %s file%s uploaded (%s)", count_format(stats->files_done, count),
                       summary_plural(stats->files_done), size_format(stats->bytes_sent_now, bytes));
    if (!err)
        err = buf_addf(line, ", %s unchanged",
                       count_format(sub_or_zero(stats->files_skipped, stats->files_existing), count));
    if (!err && stats->files_existing > 0)
        err = buf_addf(line, ", %s existing", count_format(stats->files_existing, count));
    if (!err)
        err = buf_addf(line, ", %s failed", count_format(stats->files_failed + stats->source_errors, count));
    if (!err)
        err = summary_add_left(line, stats);
    if (!err)
        err = buf_add_text(line, " in ");
    if (!err)
        err = summary_add_time(line, seconds);
    if (!err)
        err = buf_addf(line, " (%s); ", rate_format(rate, bytes));
    if (!err)
        err = buf_addf(line, "%s resent", size_format(stats->bytes_resent, bytes));
    if (!err && stats->bytes_hedged > 0)
        err = buf_addf(line, " (%s of it for slow chunks, without a fault)", size_format(stats->bytes_hedged, bytes));
    if (!err && stats->retries > 0)
        err = buf_addf(line, ", %s retr%s", count_format(stats->retries, count), stats->retries == 1 ? "y" : "ies");
    return err;
}

static int summary_add_kept(struct buf *line, uint64_t kept, const char *why) {
    char count[UNITS_TEXT_SIZE];
    return kept ? buf_addf(line, ", %s kept (%s)", count_format(kept, count), why) : 0;
}

int summary_add_removals(struct buf *line, const struct producer_stats *stats, const char *dest) {
    char count[UNITS_TEXT_SIZE];
    int err = text_add_printable(line, slice_of(dest));
    if (!err)
        err = buf_addf(line, ": %s object%s removed", count_format(stats->objects_deleted, count),
                       summary_plural(stats->objects_deleted));
    if (!err)
        err = summary_add_kept(line, stats->objects_replaced, "replaced by another program");
    if (!err)
        err = summary_add_kept(line, stats->objects_returned, "the source is there again");
    if (!err && stats->objects_failed)
        err = buf_addf(line, ", %s failed", count_format(stats->objects_failed, count));
    return err;
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
