#include "consumer/json_out.h"

#include "pure/text.h"
#include <stdio.h>

void json_out_name(const char *key, struct slice name) {
    struct buf text = BUF_INIT;
    bool raw = !utf8_is_valid(name);
    int err = raw ? base64_add(&text, name) : json_add_string(&text, name);
    if (!err && text.data)
        printf(raw ? ",\"%s_b64\":\"%s\"" : ",\"%s\":%s", key, text.data);
    buf_release(&text);
}
