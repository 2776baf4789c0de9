/* Always true: n and bytes are those of the chain from first to last; last is meaningless while there is no first. */
#include "base/texts.h"

#include <string.h>

#include "base/mem.h"

struct text {
	struct text *next;
	size_t len;
	char bytes[];
};

void texts_init(struct texts *texts) { *texts = (struct texts){ NULL, NULL, 0, 0 }; }

void texts_done(struct texts *texts)
{
	while (texts->first != NULL)
		texts_drop_first(texts);
}

static void append(struct texts *texts, struct text *text)
{
	text->next = NULL;
	if (texts->first == NULL)
		texts->first = text;
	else
		texts->last->next = text;
	texts->last = text;
	texts->n++;
	texts->bytes += text->len;
}

void texts_add(struct texts *texts, struct slice text)
{
	struct text *new = mem_new(sizeof(*new) + text.len);
	new->len = text.len;
	if (text.len > 0)
		memcpy(new->bytes, text.ptr, text.len);
	append(texts, new);
}

struct slice texts_first(const struct texts *texts)
{
	return texts->first != NULL ? slice_of(texts->first->bytes, texts->first->len) : SLICE_NONE;
}

static struct text *take_first(struct texts *texts)
{
	struct text *first = texts->first;
	texts->first = first->next;
	texts->n--;
	texts->bytes -= first->len;
	return first;
}

void texts_drop_first(struct texts *texts)
{
	if (texts->first != NULL)
		mem_free(take_first(texts));
}

void texts_move(struct texts *to, struct texts *from, size_t n)
{
	while (n-- > 0 && from->first != NULL)
		append(to, take_first(from));
}
