/*
 * Destinations that take two spellings of a name for one name: they fold case or normalise Unicode.
 * Some of them also store a name in another spelling than the given one.
 *
 * Case folding of a directory is detected with a file that exists: it is looked up by its name with
 * upper and lower case exchanged. Names with bytes outside ASCII are searched in the directory, unless the file system
 * compares names as bytes.
 */
#ifndef CHUNKLIFT_UPLOADER_FILE_SPELLING_H
#define CHUNKLIFT_UPLOADER_FILE_SPELLING_H

#include "uploader/file/file_path.h"

#define FILE_SPELLING_SIZE (NAME_MAX + 1)
#define FILE_SPELLING_DEVICES 8

/* Results so far; initially zero. */
struct file_spelling {
    bool known, folds; /* of the last directory (dev, ino): saves a system call for each file in it */
    dev_t dev;
    ino_t ino;
    dev_t keeps[FILE_SPELLING_DEVICES]; /* file systems that keep the case of names */
    size_t keeps_count;
};

/* Detects case folding of the directory of path. name: that of an existing file in it, best one that
 * no program but ours makes. A name without letters shows nothing, and the next probe looks again. */
void file_spelling_probe(struct file_spelling *s, const struct file_path *path, const char *name);

/* After a probe, for an existing file at dest. True: a name of its path has another spelling in its
 * directory, so the file was created under another name. `other` gets that spelling; empty: not
 * found. */
bool file_spelling_differs(const struct file_spelling *s, const struct file_allow *a, struct slice dest,
                           const struct file_path *path, char other[FILE_SPELLING_SIZE]);
/* For a removal, after a probe with that name: how the directories list the names of an existing dest. Where the probe
 * showed nothing, case may be folded. A negative err: a directory cannot be listed. */
enum file_spelling_match {
    SPELLING_SAME,
    SPELLING_OTHER_CASE, /* one only with other upper and lower case of ASCII letters */
    SPELLING_OTHER,      /* one under another name, or not at all */
};
int file_spelling_match(const struct file_spelling *s, const struct file_allow *a, struct slice dest,
                        const struct file_path *path) MUST_CHECK;
/* After a probe, for a file that was just created at path. True: its directory lists it under
 * another spelling, `other`. */
bool file_spelling_is_lost(struct file_spelling *s, const struct file_path *path, char other[FILE_SPELLING_SIZE]);

#endif
