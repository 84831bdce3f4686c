/*
 * list: a doubly linked list whose links are members of the listed records.
 *
 * An all-zero link is valid and on no list; an all-zero head is a valid empty
 * list. Every operation is O(1). Not thread-safe: the owner of the head owns
 * the list.
 */
#ifndef EVPROXY_BASE_LIST_H
#define EVPROXY_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline bool list_linked(const struct list *link)
{
    return link->next != NULL;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == NULL || head->next == head;
}

/* Appends a link that is on no list. */
static inline void list_append(struct list *head, struct list *link)
{
    if (head->next == NULL) {
        head->next = head->prev = head;
    }
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

/* Removes the link from its list; harmless if it is on none. */
static inline void list_remove(struct list *link)
{
    if (link->next != NULL) {
        link->prev->next = link->next;
        link->next->prev = link->prev;
        link->next = link->prev = NULL;
    }
}

/* The first link, or NULL. */
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

/* Removes the first link and answers it, or NULL. */
static inline struct list *list_pop(struct list *head)
{
    struct list *first = list_first(head);

    if (first != NULL) {
        list_remove(first);
    }
    return first;
}

/* Moves all links of one list, in order, to the end of another. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from)) {
        return;
    }
    if (to->next == NULL) {
        to->next = to->prev = to;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    from->next = from->prev = NULL;
}

#endif
