/*
 * Fault points: places at which a test makes a process die, stop, or meet an error. They exist only in builds with
 * CHUNKLIFT_FAULTS (the presets of the tests). In all other builds every macro here is empty, and its arguments are not
 * evaluated.
 *
 * fault_points.def lists every point with one sentence about the event before it. A point that is not listed does not
 * compile. A place that several kinds of jobs, records or files pass has a point for each kind: complete_sent.chunk.
 *
 * A file with the name of the point, in the directory of CHUNKLIFT_FAULT_DIR, arms it. It has one line:
 *
 *     PASS ACTION [DELAY]     acts at the PASS-th pass of the process. Before that it waits for DELAY milliseconds, so
 *                             that its sent messages arrive
 *
 * Actions: die (SIGKILL), all (SIGKILL for every process with the same directory), stop (SIGSTOP), error, late (continues
 * after DELAY).
 *
 * Only the process that renames the file to NAME.fired acts, so a point fires once over all processes and restarts.
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

/* Counts the pass. True: the point fires, and fault_act() must follow. kind: "" for none. */
bool fault_is_due(enum fault point, const char *kind);
/* Dies or stops. Action `error`: errno is EIO and the result true. */
bool fault_act(void);
/* Keeps a kind for a point that is passed later. The last kind counts, once. */
void fault_note(const char *kind);
const char *fault_noted(void); /* NULL: none since */
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
