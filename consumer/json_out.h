/* Values of JSON objects on stdout, for the commands of upkeep_command.h. */
#ifndef CHUNKLIFT_CONSUMER_JSON_OUT_H
#define CHUNKLIFT_CONSUMER_JSON_OUT_H

#include "pure/buf.h"

/* ,"key":"value"; for a name that is not UTF-8 ,"key_b64":"…". Nothing when memory is out. */
void json_out_name(const char *key, struct slice name);

#endif
