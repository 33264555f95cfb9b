/* Captures the output of a piece of code to a descriptor (stderr), for tests. One capture at a time. */
#ifndef CHUNKLIFT_CAPTURE_H
#define CHUNKLIFT_CAPTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct capture {
    int fd, saved, file;
    char text[65536];
};

/* From now on, output to fd goes to the file "captured" in the current directory. */
void capture_begin(struct capture *c, int fd);

/* Restores the descriptor and removes the file. Returns the output since capture_begin, at most the size of
 * text, with a NUL. */
const char *capture_end(struct capture *c);

#endif
