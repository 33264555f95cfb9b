/* A doubly linked ring of nodes that are members of other structs. A node is in one list at most. A node in no list points
 * to itself (list_init), so list_remove is always allowed. */
#ifndef CHUNKLIFT_LIST_H
#define CHUNKLIFT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define list_entry(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list *l) {
    l->prev = l->next = l;
}
static inline bool list_is_empty(const struct list *l) {
    return l->next == l;
}
static inline void list_remove(struct list *node) {
    node->prev->next = node->next; /* NOLINT: the analyzer does not follow the links */
    node->next->prev = node->prev;
    list_init(node);
}
/* To the end; node must be in no list. */
static inline void list_add(struct list *l, struct list *node) {
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}
static inline struct list *list_first(struct list *l) {
    return list_is_empty(l) ? NULL : l->next;
}

#endif
