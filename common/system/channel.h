/*
 * A socket pair between a command and a process that it started: the other end is the child's standard input. The child
 * reports on it that it is ready, and the end of the stream tells the child that its command needs it no longer, also
 * when the command was killed. Nothing here blocks.
 */
#ifndef CHUNKLIFT_CHANNEL_H
#define CHUNKLIFT_CHANNEL_H

#include "pure/err.h"
#include <stdbool.h>

/* ---- the command's end ---- */

/* Both descriptors are closed on exec. childs_end goes to spawn_options.input_fd and is closed after the spawn.
 * ERR_DESCRIPTORS, ERR_NOMEM, ERR_IO: logged. */
int channel_open(int *own_end, int *childs_end) MUST_CHECK;

enum channel_state {
    CHANNEL_SILENT, /* no report yet */
    CHANNEL_READY,  /* the child is ready; returned once */
    CHANNEL_ENDED,  /* the child closed its end, or it ended */
};
enum channel_state channel_read(int own_end);
/* Closes *own_end and sets it to -1. No effect when it is -1. */
void channel_close(int *own_end);

/* ---- the child's end: standard input ---- */

void channel_report_ready(void);
/* The command closed its end or ended. Also true when standard input is no channel. */
bool channel_has_ended(void);

#endif
