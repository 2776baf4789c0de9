/* Doubly linked lists whose links live inside the listed structs. A link that is in no list points to itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* The struct around a link: list_entry(link, struct conn, flush_link). */
#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
#define list_first(head, type, member) list_entry((head)->next, type, member)

/* Safe against removal of the current item, not of the one after it. */
#define list_each(item, after, head, member) \
	for (item = list_entry((head)->next, __typeof__(*item), member), \
	     after = list_entry(item->member.next, __typeof__(*item), member); \
	     &item->member != (head); \
	     item = after, after = list_entry(item->member.next, __typeof__(*item), member))

static inline void list_init(struct list *link) { link->prev = link->next = link; }
static inline bool list_is_empty(const struct list *head) { return head->next == head; }
static inline bool list_is_linked(const struct list *link) { return link->next != link; }

static inline void list_add_last(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* Takes the link out of whatever list it is in; harmless when it is in none. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Moves all of `from` to the end of `to`. */
static inline void list_append(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#endif
