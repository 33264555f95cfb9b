#include "producer/cli/property_options.h"
#include "pure/array.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>

static int property_refuse(const char *option, const char *problem) {
    log_error("--%s: %s", option, problem);
    return ERR_USAGE;
}

/* --- values --- */

static int property_options_take_values(const struct property_options *o, struct properties *out) {
    for (enum property i = 0; i < PROPERTY_COUNT; i++) {
        struct slice value = slice_of(o->values[i]);
        const char *problem = o->values[i] && i != PROPERTY_SSE_C_MD5 ? property_value_problem(value) : NULL;
        if (problem)
            return property_refuse(property_fields[i].option, problem);
        if (value.len > (i == PROPERTY_TAGGING ? PROPERTY_TAGGING_MAX : PROPERTY_VALUE_MAX) && i != PROPERTY_SSE_C_MD5)
            return property_refuse(property_fields[i].option,
                                   i == PROPERTY_TAGGING ? "longer than 4,096 bytes" : "longer than 1,024 bytes");
        if (i != PROPERTY_SSE_C_MD5)
            property_set(out, i, value);
    }
    return 0;
}

static int property_options_check_encryption(const struct property_options *o) {
    const char *sse = o->values[PROPERTY_SSE];
    bool kms = sse && strncmp(sse, "aws:kms", 7) == 0;
    if (sse && strcmp(sse, "AES256") != 0 && strcmp(sse, "aws:kms") != 0 && strcmp(sse, "aws:kms:dsse") != 0)
        return property_refuse("sse", "unknown; use AES256, aws:kms or aws:kms:dsse");
    if (o->values[PROPERTY_SSE_KMS_KEY_ID] && !kms)
        return property_refuse("sse-kms-key-id", "needs --sse aws:kms beside it");
    if (o->values[PROPERTY_SSE_C_MD5] && sse)
        return property_refuse("sse-c-key", "cannot be combined with --sse; an object has one encryption");
    const char *payer = o->values[PROPERTY_REQUEST_PAYER];
    if (payer && strcmp(payer, "requester") != 0)
        return property_refuse("request-payer", "unknown; use requester");
    return 0;
}

static int property_options_read_key(struct property_options *o, struct properties *out) {
    struct sse_c_key key;
    if (!o->values[PROPERTY_SSE_C_MD5])
        return 0;
    int err = sse_c_key_read(o->values[PROPERTY_SSE_C_MD5], &key);
    if (err)
        return err;
    memcpy(o->sse_c_md5, key.md5, sizeof key.md5);
    sse_c_key_wipe(&key);
    out->sse_c_md5 = slice_of(o->sse_c_md5);
    return 0;
}

/* --- metadata --- */

static int metadata_refuse(struct slice entry, const char *problem) {
    log_error("--metadata '%.*s': %s", (int)entry.len, entry.ptr, problem);
    return ERR_USAGE;
}

/* "value" with quotes may have commas; \" and \\ stand for themselves. Appends the value; *rest: after it. */
static int metadata_add_quoted(struct buf *out, const char **rest, struct slice entry) {
    const char *at = *rest + 1;
    int err = 0;
    for (; !err && *at && *at != '"'; at++) {
        at += at[0] == '\\' && (at[1] == '"' || at[1] == '\\');
        err = buf_add_byte(out, *at);
    }
    if (!err && (*at != '"' || (at[1] && at[1] != ',')))
        err = metadata_refuse(entry, "a value that begins with a quote must end with one");
    *rest = *at ? at + 1 : at;
    return err;
}

/* Appends "name=value" and a NUL for the entry at *rest, and moves *rest behind it and its comma. */
static int metadata_add_entry(struct buf *out, const char **rest) {
    size_t len = strcspn(*rest, ",");
    struct slice entry = slice_make(*rest, len), name, value;
    if (!property_entry_split(entry, &name, &value))
        return metadata_refuse(slice_of(*rest), "not K=V; quote a value that has commas: K=\"a,b\"");
    int err = 0;
    for (size_t i = 0; !err && i < name.len; i++)
        err = buf_add_byte(out, name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] | 0x20) : name.ptr[i]);
    if (!err)
        err = buf_add_byte(out, '=');
    *rest = value.ptr;
    if (!err && value.len && *value.ptr == '"') {
        err = metadata_add_quoted(out, rest, entry);
    } else {
        *rest += value.len;
        err = err ? err : buf_add_slice(out, value);
    }
    bool more = **rest == ',';
    *rest += more;
    if (!err && more && !**rest)
        return metadata_refuse(entry, "nothing follows its comma");
    return err ? err : buf_add_byte(out, '\0');
}

static int metadata_keep(struct property_options *o, struct slice entry) {
    struct slice name, value;
    const char *problem = property_entry_split(entry, &name, &value) ? property_name_problem(name) : "not K=V";
    if (!problem && (problem = property_value_problem(value)))
        return metadata_refuse(name, problem);
    /* a header with the same name again would be joined with the first one */
    const struct properties earlier = {.metadata = o->entries};
    if (!problem && properties_have_entry(&earlier, o->entry_count, name))
        problem = "given twice; names do not differ by case";
    if (!problem && o->entry_count == PROPERTY_METADATA_MAX)
        problem = "more than 64 entries";
    if (problem)
        return metadata_refuse(entry, problem);
    int err = array_grow_by_one(&o->entries, o->entry_count, sizeof *o->entries);
    if (!err)
        o->entries[o->entry_count++] = entry;
    return err;
}

static int property_options_take_metadata(struct property_options *o, struct properties *out) {
    int err = 0;
    for (size_t i = 0; !err && i < o->metadata.count; i++) {
        const char *rest = o->metadata.items[i];
        do
            err = metadata_add_entry(&o->text, &rest);
        while (!err && *rest);
    }
    size_t bytes = 0;
    for (size_t at = 0; !err && at < o->text.len; at += strlen(o->text.data + at) + 1) {
        struct slice entry = slice_of(o->text.data + at);
        bytes += entry.len - 1;
        err = metadata_keep(o, entry);
    }
    if (!err && bytes > PROPERTY_METADATA_GIVEN_MAX)
        return property_refuse(
            "metadata", "more than 1,968 bytes of names and values together; chunklift's own need the rest of 2 KB");
    out->metadata = o->entries;
    out->metadata_count = o->entry_count;
    return err;
}

/* --- all --- */

int property_options_settle(struct property_options *o, struct properties *out) {
    *out = (struct properties){.no_preserve = o->no_preserve};
    int err = property_options_take_values(o, out);
    if (!err)
        err = property_options_check_encryption(o);
    if (!err)
        err = property_options_take_metadata(o, out);
    if (!err)
        err = property_options_read_key(o, out);
    if (!err && properties_bytes(out) > PROPERTIES_BYTES_MAX) {
        log_error("the object properties are longer than %d bytes together", PROPERTIES_BYTES_MAX);
        err = ERR_USAGE;
    }
    return err;
}

void property_options_release(struct property_options *o) {
    text_list_release(&o->metadata);
    free(o->entries);
    buf_release(&o->text);
}
