/*
 * Destinations that take names of different spelling for one: they fold case or normalise Unicode. Some of them also
 * store a name in another spelling than it was given.
 *
 * Whether a directory folds case is seen from a second look at a temporary file, by its name in capitals. Names beyond
 * ASCII are looked for in the directory, unless the file system is one that takes names as bytes.
 */
#ifndef CHUNKLIFT_UPLOADER_FILE_SPELLING_H
#define CHUNKLIFT_UPLOADER_FILE_SPELLING_H

#include "uploader/file/file_path.h"

#define FILE_SPELLING_SIZE (NAME_MAX + 1)
#define FILE_SPELLING_DEVICES 8

/* What was found out; zero at the beginning. */
struct file_spelling {
    bool known, folds; /* of the directory looked at last: one system call less for each file in it */
    dev_t dev;
    ino_t ino;
    dev_t keeps[FILE_SPELLING_DEVICES]; /* file systems that keep capitals and small letters as they are given */
    size_t keeps_count;
};

/* temp is the name of a file of ours that is in place's directory now. */
void file_spelling_probe(struct file_spelling *s, const struct file_place *place, const char *temp);

/* After a probe. The file at dest exists: true when a name on its way is spelled otherwise in its directory, so that
 * what is there was made under another name, which `other` gets (empty: not found). */
bool file_spelling_differs(const struct file_spelling *s, const struct file_allow *a, struct slice dest,
                           const struct file_place *place, char other[FILE_SPELLING_SIZE]);
/* After a probe. The file at place was just made and nothing was there before: true when its directory has it under
 * another spelling, `other`. */
bool file_spelling_is_lost(struct file_spelling *s, const struct file_place *place, char other[FILE_SPELLING_SIZE]);

#endif
