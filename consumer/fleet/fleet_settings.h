/*
 * The settings of SET, saved in DIR/set so that a crash does not lose them. The file has four
 * lines, and a fifth one for a timetable. A save writes a temporary file, syncs it and renames it.
 */
#ifndef CHUNKLIFT_FLEET_SETTINGS_H
#define CHUNKLIFT_FLEET_SETTINGS_H

#include "pure/err.h"
#include "pure/timetable.h"
#include <stdint.h>

struct fleet_settings {
    uint32_t uploaders, slots;              /* 0: as each program was started */
    uint64_t bwlimit;                       /* bytes a second of the whole fleet; 0: no limit */
    char timetable[TIMETABLE_TEXT_MAX + 1]; /* of bwlimit, one that timetable_parse accepts; empty: it is constant */
};

/* ERR_NOT_FOUND: no settings were saved. ERR_INVALID: damaged. Otherwise ERR_NOMEM or ERR_IO. *s is
 * zero then. */
int fleet_settings_load(const char *dir, struct fleet_settings *s) MUST_CHECK;
/* Durable on success. After an error (logged) the settings of before are in the file. */
int fleet_settings_save(const char *dir, const struct fleet_settings *s) MUST_CHECK;
/* Removes the file. */
void fleet_settings_remove(const char *dir);

#endif
