/*
 * Divides a budget (bytes or requests a second) among its users by water filling. A claim below an
 * equal share gets all it wants. The other claims share the rest equally. A surplus is spread over
 * all claims. So the shares always add up to the budget, and an idle user can start at once.
 *
 * Pure.
 */
#ifndef CHUNKLIFT_BUDGET_H
#define CHUNKLIFT_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#define BUDGET_UNLIMITED UINT64_MAX /* the claim takes any amount */

struct budget_claim {
    uint64_t want;
    uint64_t share; /* out; at least 1 unless the budget is 0 */
};

void budget_divide(uint64_t budget, struct budget_claim *claims, size_t count);

#endif
