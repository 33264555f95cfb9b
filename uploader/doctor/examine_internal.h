/* Shared by the files of this folder. */
#ifndef CHUNKLIFT_EXAMINE_INTERNAL_H
#define CHUNKLIFT_EXAMINE_INTERNAL_H

#include "pure/dest.h"
#include "system/check_report.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/settings.h"

struct examination {
    struct settings *settings;
    const char *url; /* of the destination */
    struct dest dest;
    struct properties properties; /* for access */
    struct check_report report;
    bool has_proxy;    /* one is set for this endpoint */
    struct http *http; /* NULL: none, for file:// */
    struct backend *backend;
};

void examine_s3(struct examination *x);
void examine_file(struct examination *x);

/* --- examine_write.c --- */

/* The name of the probe: hidden, and new each time. It has a character outside ASCII for file://. */
#define EXAMINE_NAME_SIZE 64
int examine_probe_name(bool ascii, char name[EXAMINE_NAME_SIZE]) MUST_CHECK;
void examine_write_s3(struct examination *x);
/* dir: an existing directory. Leaves a file `name` there when true is returned. */
bool examine_write_file(struct examination *x, const char *dir, const char *name);

/* --- examine_task.c --- */

/* A task at a destination, of a kind; its job has the endpoint of the settings. */
void examine_task_init(const struct examination *x, struct task *t, enum job_kind kind, struct slice dest);
/* One attempt, to its end: t->result. A second stop request cancels it. Blocks. */
void examine_task_run(const struct examination *x, struct task *t);
/* The same for a question to an S3 store. */
void examine_task_ask(const struct examination *x, struct task *t, enum s3_question question);
/* Lets the HTTP engine work for a while. */
void examine_wait(const struct examination *x, int ms);

#endif
