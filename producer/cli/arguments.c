#include "producer/cli/arguments.h"

#include <inttypes.h>
#include <stdio.h>

void arguments_add(struct arguments *a, const char *item) {
    if (a->count < ARGUMENTS_MAX - 1)
        a->items[a->count++] = item;
    a->items[a->count] = NULL;
}

void arguments_add_option(struct arguments *a, const char *name, const char *value) {
    if (!value || !*value)
        return;
    arguments_add(a, name);
    arguments_add(a, value);
}

void arguments_add_number(struct arguments *a, const char *name, uint64_t value, const char *unit) {
    if (value == 0)
        return;
    char *number = a->numbers[a->number_count++];
    snprintf(number, sizeof a->numbers[0], "%" PRIu64 "%s", value, unit);
    arguments_add_option(a, name, number);
}
