/* The checks of a journal directory: the directory, its disk, the time of a sync, its consumer, its last record. */
#ifndef CHUNKLIFT_DOCTOR_JOURNAL_H
#define CHUNKLIFT_DOCTOR_JOURNAL_H

#include "system/check_report.h"

/* dir need not exist: then its disk is that of the nearest existing directory above it. Leaves nothing behind: the bytes
 * that are synced go to a file without a name. Blocks on the file system. */
void doctor_check_journal(struct check_report *r, const char *dir);

#endif
