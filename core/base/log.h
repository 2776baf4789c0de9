/* Where the core says what happened. The core only calls log_write; sinks (console, file, syslog) are added from the
 * configuration. Control characters of a message are escaped before a sink sees it: newline as \n, others and bytes
 * that are not UTF-8 as \xHH; very long messages are cut. Secrets are never passed here. For the loop's thread only. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/slice.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* name is the source ("c2s55d1", "mod_ping"); text is escaped and without newline. Both are borrowed. */
typedef void log_sink_fn(void *ctx, enum log_level level, const char *name, const char *text);

/* Keeps fn and ctx until log_sink_remove. What fn itself logs goes to the other sinks only. levels is a bit set:
 * 1 << LOG_LEVEL_x. Gives an id > 0. */
int log_sink_add(unsigned levels, log_sink_fn *fn, void *ctx);
void log_sink_remove(int id);

/* Sinks of our own. colours: only meant for a terminal. path is opened for append, mode 0640; log_reopen opens it
 * again (after SIGHUP). -1 when it cannot be opened. Each gives a sink id, removed by log_sink_remove. */
struct error;
int log_to_console(unsigned levels, bool colours);
int log_to_file(unsigned levels, const char *path, bool timestamps, struct error *error_r);
int log_to_syslog(unsigned levels, const char *ident);
void log_reopen(void);

/* Does any sink want this level? Ask before preparing arguments that cost something. */
bool log_wants(enum log_level level);

void log_write(enum log_level level, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Same, for text that is already formatted. */
void log_text(enum log_level level, const char *name, struct slice text);

#define log_debug(name, ...) \
	do { \
		if (log_wants(LOG_LEVEL_DEBUG)) \
			log_write(LOG_LEVEL_DEBUG, name, __VA_ARGS__); \
	} while (0)
#define log_info(name, ...) log_write(LOG_LEVEL_INFO, name, __VA_ARGS__)
#define log_warn(name, ...) log_write(LOG_LEVEL_WARN, name, __VA_ARGS__)
#define log_error(name, ...) log_write(LOG_LEVEL_ERROR, name, __VA_ARGS__)

#endif
