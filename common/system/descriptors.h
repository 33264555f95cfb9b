/* How many descriptors this process may have open. */
#ifndef CHUNKLIFT_DESCRIPTORS_H
#define CHUNKLIFT_DESCRIPTORS_H

/* Raises the limit to what the hard limit allows, 65,536 at most. For programs that serve many connections. */
void descriptors_raise(void);

#endif
