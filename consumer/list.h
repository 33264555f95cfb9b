/*
 * A circular doubly linked list whose links lie in its members. A list is its own empty link; list_init also makes a
 * member that is on no list, so that list_remove is safe on it.
 */
#ifndef CHUNKLIFT_CONSUMER_LIST_H
#define CHUNKLIFT_CONSUMER_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define MEMBER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void list_init(struct list *l) {
    l->prev = l->next = l;
}
static inline bool list_is_empty(const struct list *l) {
    return l->next == l;
}
static inline void list_add_last(struct list *l, struct list *member) {
    member->prev = l->prev;
    member->next = l;
    l->prev->next = member;
    l->prev = member;
}
static inline void list_remove(struct list *member) {
    member->prev->next = member->next;
    member->next->prev = member->prev;
    list_init(member);
}

#endif
