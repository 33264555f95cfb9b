/* Clocks. Deadlines use CLOCK_BOOTTIME, which counts time in suspend, so leases end then too. Times for people are UTC. */
#ifndef CHUNKLIFT_CLOCK_H
#define CHUNKLIFT_CLOCK_H

#include <stdint.h>

uint64_t clock_ms(void);     /* CLOCK_BOOTTIME, milliseconds */
uint64_t clock_ns(void);     /* CLOCK_BOOTTIME, nanoseconds */
int64_t clock_real_us(void); /* CLOCK_REALTIME, microseconds since 1970 */

#endif
