/* The parts of net.http.wire: connections (lua_http_server.c), requests (lua_http.c), heads of answers
 * (lua_http_head.c) and files (lua_http_file.c). */
#ifndef LUA_HTTP_PRIVATE_H
#define LUA_HTTP_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/slice.h"
#include "lua/out.h"

struct http_reader;

enum { HTTP_DATE_BYTES = 29 };

/* The date of now, written once a second. Zeroed: not yet. */
struct http_date {
	time_t second;
	char text[HTTP_DATE_BYTES + 1];
};

/* What the server itself says in a head, whatever the headers say. */
struct http_framing {
	struct slice connection; /* ptr NULL: as the headers say */
	int64_t length;          /* Content-Length; -1: as the headers say */
};

/* Adds a whole head: "200 OK", the table of headers at that index, a Date. NULL, or what cannot stand there, pushed. */
const char *l_http_add_head(struct out *out, struct slice status, int headers, const struct http_framing *framing,
			    struct http_date *date);
/* The argument at index; raises when it cannot stand in a status line. */
struct slice l_http_check_status(lua_State *L, int index);

/* Pushes what a request begins with, of the head that the reader has just given: method, path (decoded), the name of
 * the host that is meant (lower case, without port; nil), and the bytes of the head, from which the rest is read when
 * somebody asks for it. False when the path must not be: then nothing was pushed. */
bool l_http_push_request(lua_State *L, const struct http_reader *reader);

/* Each adds its functions to the table on top of the stack. */
void l_add_http_channels(lua_State *L);
void l_add_http_heads(lua_State *L);
void l_add_http_files(lua_State *L);

#endif
