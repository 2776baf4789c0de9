/* Where peers come from, as a listener counts them. Known to listener.c and conn.c. */
#ifndef NET_SOURCES_PRIVATE_H
#define NET_SOURCES_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/listener.h"

struct sockaddr;
struct source;
struct sources;

/* The listener and each place with connections hold the table; sources_release gives up the listener's hold. */
struct sources *sources_new(void);
void sources_release(struct sources *sources);

int sources_exempt(struct sources *sources, const char *address, unsigned bits);
void sources_clear_exempt(struct sources *sources);

/* How long the next peer has to wait, since so many came in the last second; 0: it may come. */
int64_t sources_wait_ms(const struct sources *sources, const struct listener_limits *limits, int64_t now_ms);
/* NULL when the peer may come in; then source_r is where it is counted, as a stranger (NULL when nobody counts). Else
 * why not, for the log. */
const char *sources_refuse(struct sources *sources, const struct listener_limits *limits, const struct sockaddr *peer,
			   int64_t now_ms, struct source **source_r);
/* One connection from there is no stranger any more. */
void source_known(struct source *source);
/* One connection less. NULL is fine. */
void source_release(struct source *source, bool is_stranger);

#endif
