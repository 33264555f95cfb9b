#include "consumer/fleet/budget.h"
#include <sys/param.h>

/* The sum of the claims when each is cut at level; budget + 1 when the sum exceeds the budget. */
static uint64_t budget_sum_at(uint64_t level, uint64_t budget, const struct budget_claim *claims, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t share = MIN(claims[i].want, level);
        if (share > budget - sum)
            return budget + 1;
        sum += share;
    }
    return sum;
}

/* The highest level whose sum fits the budget. */
static uint64_t budget_level(uint64_t budget, const struct budget_claim *claims, size_t count) {
    uint64_t low = 0, high = budget;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2 + 1;
        if (budget_sum_at(middle, budget, claims, count) <= budget)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void budget_divide(uint64_t budget, struct budget_claim *claims, size_t count) {
    if (count == 0)
        return;
    budget = MIN(budget, INT64_MAX);
    uint64_t least = MIN(budget, 1), level = budget_level(budget, claims, count);
    uint64_t rest = budget - budget_sum_at(level, budget, claims, count);
    uint64_t each = rest / count, remainder = rest % count;
    for (size_t i = 0; i < count; i++) {
        uint64_t share = MIN(claims[i].want, level) + each + (i < remainder);
        claims[i].share = MAX(share, least);
    }
}
