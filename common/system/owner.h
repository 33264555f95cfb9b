/* Ownership of the files that root makes in another user's journal directory. */
#ifndef CHUNKLIFT_OWNER_H
#define CHUNKLIFT_OWNER_H

/*
 * Call after a file or directory was created in the directory `dir`. Where this process is root and the directory
 * belongs to another user, the file is given to that user and the directory's group, so that a service of that user can
 * go on with the journal. Does nothing for other users. A file with more than one name, or of another user, stays as it
 * is. A failure is logged as a warning. Does not block; errno is kept.
 */
void owner_inherit(int fd, const char *dir);
/* The same for what was created under `path`: its directory is all before the last slash. */
void owner_inherit_at(int fd, const char *path);

#endif
