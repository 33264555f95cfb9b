/* `chunklift cp`: a producer, uploaders and, when none is running, the journal's consumer, all on this host. */
#ifndef CHUNKLIFT_CP_H
#define CHUNKLIFT_CP_H

#include "producer/producer.h"

/* One file of at most 1 MiB has one uploader: a second one would start later than the first one ends. After a second all
 * are started, because the first one may stand still. age_ms: since the start. */
bool cp_needs_all_uploaders(const struct producer_stats *stats, uint64_t age_ms);

int cp_command(int argc, char **argv); /* argv[0] is "cp"; returns the exit status */

#endif
