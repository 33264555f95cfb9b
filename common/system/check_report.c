#include "system/check_report.h"

#include "pure/text.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const check_result_names[] = {"ok", "warn", "fail"};

void check_set(struct check *c, enum check_result result, const char *remedy, const char *format, ...) {
    va_list args;
    c->result = result;
    va_start(args, format);
    vsnprintf(c->detail, sizeof c->detail, format, args);
    va_end(args);
    snprintf(c->remedy, sizeof c->remedy, "%s", remedy);
}

void check_set_text(struct check *c, enum check_result result, const char *text) {
    const char *end = strstr(text, "; ");
    size_t len = end ? (size_t)(end - text) : strlen(text);
    check_set(c, result, end ? end + 2 : "", "%.*s", (int)len, text);
}

static int check_print_text(const char *name, const struct check *c) {
    struct buf line = BUF_INIT;
    int err = buf_addf(&line, "%-4s  %s: ", check_result_names[c->result], name);
    if (!err)
        err = text_add_printable(&line, slice_of(c->detail));
    if (!err && c->remedy[0])
        err = buf_add_text(&line, "; ");
    if (!err && c->remedy[0])
        err = text_add_printable(&line, slice_of(c->remedy));
    if (!err)
        puts(line.data);
    buf_release(&line);
    return err;
}

static int check_print_json(const char *name, const struct check *c) {
    struct json_line l;
    json_line_begin(&l, "check");
    json_line_text(&l, "name", slice_of(name));
    json_line_text(&l, "result", slice_of(check_result_names[c->result]));
    json_line_text(&l, "detail", slice_of(c->detail));
    json_line_text(&l, "remedy", slice_of(c->remedy));
    return json_line_end(&l);
}

void check_report_add(struct check_report *r, const char *name, const struct check *c) {
    r->failed += c->result == CHECK_FAIL;
    if (r->quiet && c->result == CHECK_OK)
        return;
    int err = r->json ? check_print_json(name, c) : check_print_text(name, c);
    if (err)
        log_error("%s: %s", name, err_text(err));
    output_event();
}
