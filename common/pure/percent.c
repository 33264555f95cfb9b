#include "pure/percent.h"

bool percent_is_unreserved(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

int percent_encode(struct buf *out, struct slice text, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    int err = buf_reserve(out, text.len * 3);
    for (size_t i = 0; !err && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (percent_is_unreserved(c) || (keep_slash && c == '/')) {
            err = buf_add_byte(out, (char)c);
        } else {
            char code[3] = {'%', digits[c >> 4], digits[c & 15]};
            err = buf_add(out, code, sizeof code);
        }
    }
    return err;
}

static int percent_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int percent_decode(struct buf *out, struct slice text) {
    int err = 0;
    for (size_t i = 0; !err && i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.len ? percent_digit(text.ptr[i + 1]) : -1;
            int low = i + 2 < text.len ? percent_digit(text.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return ERR_INVALID;
            c = (char)(high << 4 | low);
            i += 2;
        }
        err = buf_add_byte(out, c);
    }
    return err;
}
