/* Stanzas to bytes, always from the tree, never from input. Escapes < > & ' " in text and attributes, and CR, LF,
 * TAB in attributes (CR in text) as character references, so that any parser reads back the same tree. */
#ifndef XML_WRITE_H
#define XML_WRITE_H

#include "base/buf.h"
#include "xml/stanza.h"

/* Appends the element. context_ns is the default namespace where it will stand ("jabber:client" on a stream; empty
 * for none): xmlns is written where an element's namespace differs from its surroundings. Elements marked as in
 * their stream's namespace (stanza.h) are taken to be in context_ns. 0, or -1 when buf is full; then nothing was
 * added. */
int write_el(struct buf *into, const struct stanza *st, struct el el, struct slice context_ns);

/* The most bytes write_el can need; cheap, for reserving space. */
size_t write_bound(const struct stanza *st, struct el el);
/* As write_el into memory of at least write_bound bytes. Gives the bytes used. */
size_t write_into(char *into, const struct stanza *st, struct el el, struct slice context_ns);

/* Escapes text for use between tags or quotes. */
int write_escaped(struct buf *into, struct slice text);
/* Escapes text for use between tags only: line breaks and TAB stay as they are. Into memory of write_text_bound
 * bytes; gives the bytes used. */
size_t write_text_bound(struct slice text);
size_t write_text_into(char *into, struct slice text);

#endif
