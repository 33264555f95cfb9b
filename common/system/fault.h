/*
 * Fault points: the places where a test makes a process die, stop, or meet an error. They exist only in builds made
 * with CHUNKLIFT_FAULTS (the presets of the tests); in all others every macro here is empty and its arguments are not
 * evaluated.
 *
 * Every point stands in fault_points.def, with one sentence that says what has just happened; one that is not there
 * does not compile. Where the same place is passed for several kinds of jobs, records or files, the point's name is
 * followed by the kind: complete_sent.chunk.
 *
 * A point is armed by a file of its name in the directory that CHUNKLIFT_FAULT_DIR names, with one line:
 *
 *     PASS ACTION [DELAY]     at the PASS-th time this process comes by; before that it stands still for DELAY
 *                             milliseconds, so that what it sent arrives
 *
 * Actions: die (SIGKILL), all (SIGKILL for every process with the same directory), stop (SIGSTOP), error,
 * late (goes on after DELAY).
 *
 * Only the process that succeeds in renaming the file to NAME.fired acts: a point fires once over any number of
 * processes and restarts.
 */
#ifndef CHUNKLIFT_FAULT_H
#define CHUNKLIFT_FAULT_H

#ifdef CHUNKLIFT_FAULTS

#include <stdbool.h>
#include <stdint.h>

enum fault {
#define FAULT(program, name, kinds, sentence) FAULT_##name,
#include "system/fault_points.def"
#undef FAULT
    FAULT_COUNT
};

/* Counts the pass; true when it is the one a test waits for: then fault_act() must follow. kind: "" for none. */
bool fault_is_due(enum fault point, const char *kind);
/* Dies or stops. Action `error`: errno is EIO and the result true. */
bool fault_act(void);
/* What kind of thing was done, for a point that is passed later: the last one counts, and only once. */
void fault_note(const char *kind);
const char *fault_noted(void); /* NULL: nothing since */
/* The number in DIR/set.NAME, otherwise `usual`. */
uint64_t fault_setting(const char *name, uint64_t usual);

#define FAULT_POINT_AS(name, kind) ((void)(fault_is_due(FAULT_##name, kind) && fault_act()))
#define FAULT_POINT_IF(condition, name, kind) ((void)((condition) && fault_is_due(FAULT_##name, kind) && fault_act()))
#define FAULT_FAILS(name, kind) (fault_is_due(FAULT_##name, kind) && fault_act())
#define FAULT_AFTER(name, kind, statement)                                                                             \
    do {                                                                                                               \
        if (fault_is_due(FAULT_##name, kind)) {                                                                        \
            statement;                                                                                                 \
            (void)fault_act();                                                                                         \
        }                                                                                                              \
    } while (0)
#define FAULT_ONLY(...) __VA_ARGS__
#define FAULT_NOTE(kind) fault_note(kind)
#define FAULT_POINT_NOTED(name)                                                                                        \
    do {                                                                                                               \
        const char *kind_ = fault_noted();                                                                             \
        if (kind_ && fault_is_due(FAULT_##name, kind_))                                                                \
            (void)fault_act();                                                                                         \
    } while (0)
#define FAULT_SETTING(name, usual) fault_setting(#name, usual)

#else

#define FAULT_POINT_AS(name, kind) ((void)0)
#define FAULT_POINT_IF(condition, name, kind) ((void)0)
#define FAULT_FAILS(name, kind) 0
#define FAULT_AFTER(name, kind, statement) ((void)0)
#define FAULT_ONLY(...)
#define FAULT_NOTE(kind) ((void)0)
#define FAULT_POINT_NOTED(name) ((void)0)
#define FAULT_SETTING(name, usual) (usual)

#endif

#define FAULT_POINT(name) FAULT_POINT_AS(name, "")

#endif
