/*
 * Divides a budget (bytes or requests a second) among those who can use it: water filling. Who wants less than an equal
 * part gets what it wants, and the others share the rest equally; what nobody wants is spread over all, so that the
 * parts always make up the whole and who wakes up finds something. Pure.
 */
#ifndef CHUNKLIFT_BUDGET_H
#define CHUNKLIFT_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#define BUDGET_ALL UINT64_MAX /* wants whatever it can get */

struct budget_claim {
    uint64_t want;
    uint64_t part; /* out; at least 1 where the budget is not 0 */
};

void budget_divide(uint64_t budget, struct budget_claim *claims, size_t count);

#endif
