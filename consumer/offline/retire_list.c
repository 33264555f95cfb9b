#include "consumer/offline/carry.h"
#include "consumer/offline/retire.h"
#include "pure/array.h"
#include "pure/text.h"
#include "pure/units.h"
#include "system/json_line.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMED_MAX 5 /* of each file, unless all are wanted */

/* The sealed file that holds the line seq; u->sealed when it is in the active one. */
static size_t file_of(const struct retire *r, uint64_t seq) {
    const struct journal_file *files = r->u.files.files;
    size_t low = 0, high = r->u.sealed;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->needs[middle].to < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->u.sealed && files[low].first_seq <= seq ? low : r->u.sealed;
}

static int name_upload(const struct retire *r, struct need *n, const struct upload *u) {
    if (n->named_count && n->named[n->named_count - 1] == u)
        return 0;
    n->unfinished++;
    if (n->named_count == NAMED_MAX && !r->o->verbose && !r->o->json)
        n->named_count--; /* its place remembers the last one, so that none is counted twice */
    if (array_grow(&n->named, &n->named_cap, n->named_count, sizeof *n->named))
        return ERR_NOMEM;
    n->named[n->named_count++] = u;
    return 0;
}

static int needs_of_upload(struct retire *r, const struct upload *u) {
    size_t file = file_of(r, carried_first_seq(u));
    int err = file < r->u.sealed ? name_upload(r, &r->needs[file], u) : 0;
    const struct chunk_info *info;
    for (uint32_t i = 0; !err && (info = upload_next_chunk(u, &i)); i++) {
        file = file_of(r, info->seq);
        if (file < r->u.sealed)
            err = name_upload(r, &r->needs[file], u);
    }
    return err;
}

static int count_finished(void *arg, struct record *record, uint64_t first_seq) {
    struct retire *r = arg;
    if (record->ev == EV_SAME)
        return 0;
    size_t file = file_of(r, first_seq);
    if (file < r->u.sealed)
        r->needs[file].finished++;
    return 0;
}

int retire_find_needs(struct retire *r) {
    struct upkeep *u = &r->u;
    int err = 0;
    r->needs = calloc(u->sealed + 1, sizeof *r->needs);
    if (!r->needs)
        return ERR_NOMEM;
    r->chosen = u->sealed > r->o->keep ? u->sealed - r->o->keep : 0;
    for (size_t i = 0; i < u->sealed; i++) {
        struct need *n = &r->needs[i];
        n->to = upkeep_last_of(u, i);
        n->chosen = i < r->chosen;
        n->dropped = n->to <= u->dropped_to;
    }
    r->up_to = r->chosen ? r->needs[r->chosen - 1].to : 0;
    for (size_t i = 0; !err && i < u->state.count; i++)
        if (u->state.uploads[i]->opened)
            err = needs_of_upload(r, u->state.uploads[i]);
    uint64_t all = u->sealed ? r->needs[u->sealed - 1].to : 0;
    return err || !all ? err : carried_finished(u->dir, &u->state, all, u->last_seq, count_finished, r);
}

void retire_release_needs(struct retire *r) {
    for (size_t i = 0; r->needs && i < r->u.sealed; i++)
        free(r->needs[i].named);
    free(r->needs);
}

/* ---- printing ---- */

static void print_name(struct slice name) {
    struct buf text = BUF_INIT;
    if (text_add_printable(&text, name) == 0)
        fwrite(text.data, 1, text.len, stdout);
    buf_release(&text);
}

static void print_json(const struct journal_file *f, const struct need *n) {
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

static const char *plural(uint64_t n) {
    return n == 1 ? "" : "s";
}

static void print_file(const struct retire *r, const struct journal_file *f, const struct need *n) {
    char size[UNITS_TEXT_SIZE];
    printf("%s  %" PRIu64 "-%" PRIu64 "  %s  ", f->name, f->first_seq, n->to, format_size(f->size, size));
    if (n->dropped)
        printf("dropped already, still to be removed");
    else if (n->unfinished || n->finished)
        printf("needed by %" PRIu64 " unfinished upload%s, %" PRIu64 " finished one%s", n->unfinished,
               plural(n->unfinished), n->finished, plural(n->finished));
    else
        printf("not needed");
    puts(n->chosen ? "" : "  (kept)");
    for (size_t i = 0; i < n->named_count && (i < NAMED_MAX || r->o->verbose); i++) {
        char id[ID_HEX_SIZE];
        id_to_hex(&n->named[i]->id, id);
        printf("    %s  ", id);
        print_name(n->named[i]->identity.src);
        fputs(" → ", stdout);
        print_name(n->named[i]->identity.dest);
        putchar('\n');
    }
    if (n->unfinished > n->named_count)
        printf("    and %" PRIu64 " more (--verbose names them)\n", n->unfinished - n->named_count);
}

void retire_print(const struct retire *r) {
    uint64_t bytes = 0, free_files = 0;
    char size[UNITS_TEXT_SIZE];
    for (size_t i = 0; i < r->u.sealed; i++) {
        const struct need *n = &r->needs[i];
        if (r->o->json)
            print_json(&r->u.files.files[i], n);
        else
            print_file(r, &r->u.files.files[i], n);
        bytes += n->chosen ? r->u.files.files[i].size : 0;
        free_files += n->chosen && (n->dropped || !n->unfinished);
    }
    if (r->o->json)
        return;
    if (r->u.sealed == 0)
        puts("no sealed files; there is nothing to retire");
    else
        printf("%zu of %zu sealed files to retire, %s; %" PRIu64 " of them no unfinished upload needs\n", r->chosen,
               r->u.sealed, format_size(bytes, size), free_files);
}
