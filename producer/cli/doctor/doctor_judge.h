/* The meaning of numbers and modes for the journal and for this host. Pure. */
#ifndef CHUNKLIFT_DOCTOR_JUDGE_H
#define CHUNKLIFT_DOCTOR_JUDGE_H

#include "system/check_report.h"
#include "system/fs_facts.h"
#include <stddef.h>
#include <sys/stat.h>

/* An existing journal directory. user: the effective user of this process. */
void doctor_judge_directory(struct check *c, const char *dir, const struct stat *st, uid_t user);
/* The file system of the journal. */
void doctor_judge_disk(struct check *c, const struct fs_facts *fs);
/* The time of fdatasync(2) after a small append: the median of several, in microseconds. */
void doctor_judge_sync(struct check *c, uint64_t us);
/* free: descriptors that a process can open; slots: --slots, 0: auto. */
void doctor_judge_descriptors(struct check *c, size_t free, uint64_t slots);

#endif
