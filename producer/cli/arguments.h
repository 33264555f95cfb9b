/* The command line of another program of chunklift, and the status that it ended with. */
#ifndef CHUNKLIFT_ARGUMENTS_H
#define CHUNKLIFT_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#define ARGUMENTS_MAX 512

struct arguments {
    const char *items[ARGUMENTS_MAX]; /* NULL-terminated */
    size_t count;
    char numbers[8][32];
    size_t number_count;
};

void arguments_add(struct arguments *a, const char *item);
/* Nothing for an empty value, or NULL. */
void arguments_add_option(struct arguments *a, const char *name, const char *value);
/* Nothing for 0. */
void arguments_add_number(struct arguments *a, const char *name, uint64_t value, const char *unit);

/* status: of waitpid. */
static inline bool child_exited_with(int status, int code) {
    return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

#endif
