/* A file:// backend on a temporary directory with one source file: shared by the tests of uploader/file. It
 * is driven like by the loop of the uploader: start, then step until done. */
#ifndef CHUNKLIFT_FILE_FIXTURE_H
#define CHUNKLIFT_FILE_FIXTURE_H

#include "files.h"
#include "unit.h"

#include "pure/digest.h"
#include "system/clock.h"
#include "system/fileid.h"
#include "system/log.h"
#include "uploader/backend.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536u
#define CHUNKS 4u
#define SIZE (CHUNK * (CHUNKS - 1) + 100)

/* The fixture of the running test. */
extern struct file_fixture {
    char top[256]; /* the temporary directory */
    char out[300]; /* the only allowed destination, in top; the backend makes it */
    char source_path[320], allow[320], dest[400];
    struct backend *backend;
    struct roots *roots;
    char *content; /* of the source: SIZE bytes */
    uint32_t done_count;
    char handle[PROTO_TEXT_MAX + 1]; /* of the upload that disk_upload_begin began */
    struct part parts[CHUNKS];       /* of the chunks that disk_chunk_send sent */
} disk;

#define TEST(name) cmocka_unit_test_setup_teardown(name, file_fixture_setup, file_fixture_teardown)

int file_fixture_setup(void **state);
int file_fixture_teardown(void **state);

/* Replaces the source by the first bytes of the content. */
void source_write(size_t size);

/* --- tasks --- */

struct task task_make(enum job_kind kind, const char *handle, uint32_t chunk);

/* Opens the source and starts the task. *done is set when the task is done. */
void task_start(struct task *t, bool *done);

/* Steps until the backend has nothing to do. */
void backend_step_all(void);

/* Starts the task, and steps until it is done. */
void task_run(struct task *t);

/* An upload with success: its begin, one chunk, and its end with all chunks. */
void disk_upload_begin(void);
void disk_chunk_send(uint32_t chunk);
struct task disk_upload_finish(void);

/* --- the destination --- */

const char *final_path(void);
void dest_dir(char path[400]);

/* The path of the unfinished file of the upload. */
void temp_path(char path[700]);

/* The file has the first `size` bytes of the content, and no others. */
void assert_final(size_t size);

/* The task made the whole file, and left no other file beside it. */
void assert_made_the_file(const struct task *t);

#endif
