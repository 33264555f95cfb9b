/*
 * The lines of `chunklift doctor` on stdout: one for each check, as text or as a JSON object. The command and its uploader
 * print them alike.
 *
 *     ok    limits: 65,533 open files for each process
 *     fail  clock: 17 minutes behind the store's; set it, requests are refused beyond 15 minutes
 */
#ifndef CHUNKLIFT_CHECK_REPORT_H
#define CHUNKLIFT_CHECK_REPORT_H

#include "pure/err.h"
#include <stdbool.h>

enum check_result { CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct check_report {
    bool json;
    bool quiet;      /* leave out the lines of CHECK_OK */
    unsigned failed; /* checks with CHECK_FAIL so far */
};

/* A judgement: the result of a check, and its words. */
#define CHECK_TEXT_SIZE 1024
struct check {
    enum check_result result;
    char detail[CHECK_TEXT_SIZE]; /* one line, no secrets */
    char remedy[CHECK_TEXT_SIZE]; /* empty: none is needed */
};
void check_set(struct check *c, enum check_result result, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A text of another part of the program, "the problem; the remedy". Its first "; " divides it, for display only. */
void check_set_text(struct check *c, enum check_result result, const char *text);

/* Prints a line and flushes it. */
void check_report_add(struct check_report *r, const char *name, const struct check *c);

#endif
