#include "pure/decimal.h"

int decimal_parse(struct slice text, uint64_t max, uint64_t *value) {
    uint64_t number = 0;
    if (text.len == 0)
        return ERR_INVALID;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return ERR_INVALID;
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        if (digit > max || number > (max - digit) / 10)
            return ERR_LIMIT;
        number = number * 10 + digit;
    }
    *value = number;
    return 0;
}
