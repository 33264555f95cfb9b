/* The owner of files that root creates in another user's journal directory. */
#ifndef CHUNKLIFT_OWNER_H
#define CHUNKLIFT_OWNER_H

/*
 * Call it after the creation of a file or directory in the directory `dir`. When this process is root and the directory
 * belongs to another user, the file gets that user and the directory's group, so that a service of that user can use the
 * journal. Does nothing for other users. A file with several names, or of another user, is not changed. A failure is
 * logged as a warning. errno is kept.
 */
void owner_inherit(int fd, const char *dir);
/* The same for a file created as `path`; its directory is the part before the last slash. */
void owner_inherit_at(int fd, const char *path);

#endif
