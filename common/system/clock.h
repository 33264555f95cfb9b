/* Clocks. Deadlines use CLOCK_BOOTTIME (it counts suspend, so a lease ends on a laptop that slept); people see UTC. */
#ifndef CHUNKLIFT_CLOCK_H
#define CHUNKLIFT_CLOCK_H

#include <stdint.h>

uint64_t clock_ms(void);     /* CLOCK_BOOTTIME, milliseconds */
uint64_t clock_ns(void);     /* CLOCK_BOOTTIME, nanoseconds */
int64_t clock_real_us(void); /* CLOCK_REALTIME, microseconds since 1970 */

/* "2026-11-21T08:40:00.000000Z" (RFC 3339, UTC, microseconds) and a NUL. */
#define RFC3339_SIZE 28
void rfc3339_format(int64_t real_us, char out[RFC3339_SIZE]);

#endif
