#include "producer/cli/store/removal_scope.h"

#include "pure/dest.h"
#include <stdlib.h>

static int removal_copy_text(char **copy, const char *text) {
    *copy = slice_dup(slice_of(text ? text : ""));
    return *copy ? 0 : ERR_NOMEM;
}

int removal_scope_init(struct removal_scope *s, const struct producer *p, const struct producer_config *config,
                       bool excluded) {
    *s = (struct removal_scope){.follow_links = config->follow_links,
                                .one_file_system = config->one_file_system,
                                .selection = excluded ? config->selection : NULL};
    int err = producer_copy_trees(p, &s->trees, &s->tree_count);
    if (!err)
        err = removal_copy_text(&s->source_name, config->source_name);
    if (!err)
        err = removal_copy_text(&s->endpoint, producer_endpoint(p));
    if (!err)
        err = removal_copy_text(&s->allow, producer_allow(p));
    if (err)
        removal_scope_release(s);
    return err;
}

void removal_scope_release(struct removal_scope *s) {
    producer_free_trees(s->trees, s->tree_count);
    free(s->source_name);
    free(s->endpoint);
    free(s->allow);
    *s = (struct removal_scope){.tree_count = 0};
}

/* A walk makes only such names. Others can lead out of the tree. */
static bool removal_name_is_plain(const char *name) {
    for (;; name++) {
        size_t len = strcspn(name, "/");
        if (len == 0 || (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
            return false;
        name += len;
        if (*name == '\0')
            return true;
    }
}

/* The rest of src in the tree; NULL: it is not in there. */
static const char *removal_name_in(const struct producer_tree *tree, const char *src) {
    size_t len = strcmp(tree->path, "/") == 0 ? 0 : strlen(tree->path);
    if (strncmp(src, tree->path, len) != 0 || src[len] != '/')
        return NULL;
    return removal_name_is_plain(src + len + 1) ? src + len + 1 : NULL;
}

/* The destination is a file of one of the trees: DEST is above a SRC. */
static bool removal_is_in_trees(const struct removal_scope *s, struct slice dest) {
    struct dest d;
    struct buf path = BUF_INIT;
    bool is = dest_parse(dest, &d) != 0 || d.scheme == DEST_FILE;
    if (is && dest_parse(dest, &d) == 0 && buf_add_slice(&path, d.key) == 0) {
        is = false;
        for (size_t i = 0; !is && i < s->tree_count; i++)
            is = removal_name_in(&s->trees[i], path.data) != NULL;
    }
    buf_release(&path);
    return is;
}

int removal_scope_find(const struct removal_scope *s, const char *src, struct slice source, struct slice dest,
                       const struct producer_tree **tree, const char **name) {
    struct buf url = BUF_INIT;
    int err = ERR_NOT_FOUND;
    if (!slice_equal(source, slice_of(s->source_name)) || removal_is_in_trees(s, dest))
        return ERR_NOT_FOUND;
    for (size_t i = 0; err == ERR_NOT_FOUND && i < s->tree_count; i++) {
        *tree = &s->trees[i];
        *name = removal_name_in(*tree, src);
        if (!*name)
            continue;
        err = dest_join(&url, slice_of((*tree)->dest), slice_of(*name));
        if (!err && !slice_equal(buf_slice(&url), dest))
            err = ERR_NOT_FOUND;
    }
    buf_release(&url);
    return err;
}
