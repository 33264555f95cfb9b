/* An environment without AWS settings, and the two files of the AWS CLI in the current directory. */
#ifndef CHUNKLIFT_TEST_AWS_FILES_H
#define CHUNKLIFT_TEST_AWS_FILES_H

#include "files.h"
#include "unit.h"
#include <stdlib.h>
#include <unistd.h>

/* Removes all variables and both files. From then on the files are "config" and "credentials". */
void aws_files_reset(void);

#endif
