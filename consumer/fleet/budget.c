#include "consumer/fleet/budget.h"

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* What all take when nobody gets more than level; budget + 1 when that is too much. */
static uint64_t taken_at(uint64_t level, uint64_t budget, const struct budget_claim *claims, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t part = smaller(claims[i].want, level);
        if (part > budget - sum)
            return budget + 1;
        sum += part;
    }
    return sum;
}

/* The highest level at which the budget is enough. */
static uint64_t find_level(uint64_t budget, const struct budget_claim *claims, size_t count) {
    uint64_t low = 0, high = budget;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2 + 1;
        if (taken_at(middle, budget, claims, count) <= budget)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

void budget_divide(uint64_t budget, struct budget_claim *claims, size_t count) {
    if (count == 0 || budget == 0) {
        for (size_t i = 0; i < count; i++)
            claims[i].part = 0;
        return;
    }
    budget = smaller(budget, INT64_MAX);
    uint64_t level = find_level(budget, claims, count), rest = budget - taken_at(level, budget, claims, count);
    uint64_t each = rest / count, more = rest % count;
    for (size_t i = 0; i < count; i++) {
        claims[i].part = smaller(claims[i].want, level) + each + (i < more);
        if (claims[i].part == 0)
            claims[i].part = 1;
    }
}
