#include "consumer/offline/carry_forward.h"
#include "consumer/offline/retire.h"
#include "pure/arith.h"
#include "pure/array.h"
#include "pure/text.h"
#include "pure/units.h"
#include "system/json_line.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMED_MAX 5 /* of each file, without --verbose and --json */

/* The sealed file that has the line seq. NULL: the active file has it. */
static struct need *retire_find_need(const struct retire *r, uint64_t seq) {
    size_t low = 0, high = r->journal.sealed;
    if (seq > r->sealed_to)
        return NULL;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->needs[middle].to < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return &r->needs[low];
}

/* n may be NULL. */
static int need_add_upload(const struct retire *r, struct need *n, const struct upload *u) {
    if (!n || (n->named_count && n->named[n->named_count - 1] == u))
        return 0;
    n->unfinished++;
    if (n->named_count == NAMED_MAX && !r->o->verbose && !r->o->json)
        n->named_count--; /* the last place is used again: it shows the upload counted last */
    if (array_grow(&n->named, &n->named_cap, n->named_count, sizeof *n->named))
        return ERR_NOMEM;
    n->named[n->named_count++] = u;
    return 0;
}

static int retire_needs_of_upload(struct retire *r, const struct upload *u) {
    int err = need_add_upload(r, retire_find_need(r, carry_forward_first_seq(u)), u);
    const struct chunk_info *info;
    for (uint32_t i = 0; !err && (info = upload_next_chunk(u, &i)); i++)
        err = need_add_upload(r, retire_find_need(r, info->seq), u);
    return err;
}

static int retire_count_finished(void *arg, struct record *record, uint64_t first_seq) {
    struct retire *r = arg;
    struct need *n = retire_find_need(r, first_seq);
    if (n && record->ev != EV_SAME)
        n->finished++;
    return 0;
}

int retire_find_needs(struct retire *r) {
    struct offline_journal *j = &r->journal;
    int err = 0;
    r->needs = array_zeroed(j->sealed, sizeof *r->needs);
    if (!r->needs)
        return ERR_NOMEM;
    r->chosen = sub_or_zero(j->sealed, r->o->keep);
    for (size_t i = 0; i != j->sealed; i++) {
        struct need *n = &r->needs[i];
        n->to = offline_journal_last_seq(j, i);
        n->chosen = i < r->chosen;
        n->dropped = n->to <= j->dropped_to;
        r->sealed_to = n->to;
    }
    r->up_to = r->chosen ? r->needs[r->chosen - 1].to : 0;
    for (size_t i = 0; !err && i < j->state.count; i++)
        if (j->state.uploads[i]->opened)
            err = retire_needs_of_upload(r, j->state.uploads[i]);
    if (!err)
        err = carry_forward_finished(j->dir, &j->state, r->sealed_to, j->last_seq, false, retire_count_finished, r);
    return err;
}

void retire_release_needs(struct retire *r) {
    for (const struct need *n = r->needs; n && n != r->needs + r->journal.sealed; n++)
        free(n->named);
    free(r->needs);
}

/* ---- printing ---- */

static void retire_print_name(struct slice name) {
    struct buf text = BUF_INIT;
    if (text_add_printable(&text, name) == 0)
        fwrite(text.data, 1, text.len, stdout);
    buf_release(&text);
}

static void retire_print_json(const struct journal_file *f, const struct need *n) {
    struct json_line l;
    json_line_begin(&l, "file");
    json_line_text(&l, "file", slice_of(f->name));
    json_line_number(&l, "from", f->first_seq);
    json_line_number(&l, "to", n->to);
    json_line_number(&l, "size", f->size);
    json_line_bool(&l, "dropped", n->dropped);
    json_line_bool(&l, "chosen", n->chosen);
    json_line_number(&l, "unfinished", n->unfinished);
    json_line_number(&l, "finished", n->finished);
    (void)!json_line_end(&l);
    for (size_t i = 0; i < n->named_count; i++) {
        json_line_begin(&l, "needed");
        json_line_text(&l, "file", slice_of(f->name));
        json_line_id(&l, "upload", &n->named[i]->id);
        json_line_name(&l, "src", n->named[i]->identity.src);
        json_line_name(&l, "dest", n->named[i]->identity.dest);
        (void)!json_line_end(&l);
    }
}

static const char *plural_s(uint64_t n) {
    return n == 1 ? "" : "s";
}

static void retire_print_file(const struct journal_file *f, const struct need *n) {
    char size[UNITS_TEXT_SIZE];
    printf("%s  %" PRIu64 "-%" PRIu64 "  %s  ", f->name, f->first_seq, n->to, size_format(f->size, size));
    if (n->dropped)
        printf("dropped already, still to be removed");
    else if (n->unfinished || n->finished)
        printf("needed by %" PRIu64 " unfinished upload%s, %" PRIu64 " finished one%s", n->unfinished,
               plural_s(n->unfinished), n->finished, plural_s(n->finished));
    else
        printf("not needed");
    puts(n->chosen ? "" : "  (kept)");
    for (size_t i = 0; i < n->named_count; i++) {
        char id[ID_HEX_SIZE];
        id_to_hex(&n->named[i]->id, id);
        printf("    %s  ", id);
        retire_print_name(n->named[i]->identity.src);
        fputs(" → ", stdout);
        retire_print_name(n->named[i]->identity.dest);
        putchar('\n');
    }
    if (n->unfinished > n->named_count)
        printf("    and %" PRIu64 " more (--verbose names them)\n", n->unfinished - n->named_count);
}

void retire_print(const struct retire *r) {
    uint64_t bytes = 0, free_files = 0;
    char size[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < r->journal.sealed; i++) {
        const struct need *n = &r->needs[i];
        if (r->o->json)
            retire_print_json(&r->journal.files.files[i], n);
        else
            retire_print_file(&r->journal.files.files[i], n);
        bytes += n->chosen ? r->journal.files.files[i].size : 0;
        free_files += n->chosen && (n->dropped || !n->unfinished);
    }
    if (r->o->json)
        return;
    if (r->journal.sealed == 0)
        puts("no sealed files; there is nothing to retire");
    else
        printf("%zu of %zu sealed files to retire, %s; %" PRIu64 " of them no unfinished upload needs\n", r->chosen,
               r->journal.sealed, size_format(bytes, size), free_files);
}
