/* Always true: a sink sees one line without control characters, so nothing a peer sends can forge a line or drive a
 * terminal. Writing to the log allocates nothing and never waits for more than the sink's own write(2).
 *
 * The list of sinks belongs to the process, as stderr does. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { MAX_TEXT = 8192, MAX_LINE = MAX_TEXT + 256 };

struct sink {
	int id;
	unsigned levels;
	log_sink_fn *fn; /* NULL: removed */
	void *ctx;
	void (*release)(void *ctx);
	bool is_busy; /* being called: what it logs itself does not come back to it */
};

static struct sink *sinks;
static size_t n_sinks;
static int last_id;
static unsigned wanted_levels;

static void count_wanted(void)
{
	wanted_levels = 0;
	for (size_t i = 0; i < n_sinks; i++)
		if (sinks[i].fn != NULL)
			wanted_levels |= sinks[i].levels;
}

static int add(unsigned levels, log_sink_fn *fn, void *ctx, void (*release)(void *))
{
	size_t at = 0;
	while (at < n_sinks && (sinks[at].fn != NULL || sinks[at].is_busy))
		at++;
	if (at == n_sinks)
		sinks = mem_resize(sinks, ++n_sinks * sizeof(*sinks));
	sinks[at] = (struct sink){ .id = ++last_id, .levels = levels, .fn = fn, .ctx = ctx, .release = release };
	count_wanted();
	return last_id;
}

int log_sink_add(unsigned levels, log_sink_fn *fn, void *ctx)
{
	return add(levels, fn, ctx, NULL);
}

void log_sink_remove(int id)
{
	for (size_t i = 0; i < n_sinks; i++) {
		struct sink *sink = &sinks[i];
		if (sink->fn == NULL || sink->id != id)
			continue;
		sink->fn = NULL;
		if (sink->release != NULL)
			sink->release(sink->ctx);
	}
	count_wanted();
}

bool log_wants(enum log_level level)
{
	return (wanted_levels & 1u << level) != 0;
}

static bool is_control(const unsigned char *at, size_t len)
{
	if (len == 1)
		return (at[0] < 0x20 && at[0] != '\t') || at[0] == 0x7f;
	return len == 2 && at[0] == 0xc2 && at[1] < 0xa0; /* U+0080 to U+009F: terminals obey these too */
}

/* Writes at most size - 1 bytes and a NUL. */
static void escape(char *into, size_t size, struct slice text)
{
	static const char ellipsis[] = "...";
	size_t room = size - sizeof(ellipsis);
	size_t len = 0;
	while (text.len > 0) {
		const unsigned char *at = (const unsigned char *)text.ptr;
		size_t char_len = utf8_length(text);
		char out[8];
		size_t out_len = 0;
		if (at[0] == '\n') {
			out[out_len++] = '\\';
			out[out_len++] = 'n';
			char_len = 1;
		} else if (char_len == 0 || is_control(at, char_len)) {
			if (char_len == 0)
				char_len = 1;
			for (size_t i = 0; i < char_len; i++) {
				out[out_len++] = '\\';
				out[out_len++] = 'x';
				hex_write(at + i, 1, out + out_len);
				out_len += 2;
			}
		} else {
			memcpy(out, at, char_len);
			out_len = char_len;
		}
		if (len + out_len > room) {
			memcpy(into + len, ellipsis, sizeof(ellipsis));
			return;
		}
		memcpy(into + len, out, out_len);
		len += out_len;
		text = slice_from(text, char_len);
	}
	into[len] = '\0';
}

void log_text(enum log_level level, const char *name, struct slice text)
{
	if (!log_wants(level))
		return;
	char escaped_name[128], escaped[MAX_TEXT];
	escape(escaped_name, sizeof(escaped_name), slice_of_str(name));
	escape(escaped, sizeof(escaped), text);
	for (size_t i = 0; i < n_sinks; i++) {
		struct sink sink = sinks[i]; /* the array may move when fn adds a sink */
		if (sink.fn == NULL || sink.is_busy || (sink.levels & 1u << level) == 0)
			continue;
		sinks[i].is_busy = true;
		sink.fn(sink.ctx, level, escaped_name, escaped);
		sinks[i].is_busy = false;
	}
}

void log_write(enum log_level level, const char *name, const char *format, ...)
{
	if (!log_wants(level))
		return;
	char text[MAX_TEXT];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len < 0)
		return;
	log_text(level, name, slice_of(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1));
}

static const char *const level_names[] = { "debug", "info", "warn", "error" };
static const char *const level_colours[] = { "\033[2m", "\033[32m", "\033[33m", "\033[1;31m" };

/* "Nov 22 14:05:09 " in local time, as people read logs beside their clock. */
static size_t add_time(char *into, size_t size)
{
	time_t now = time(NULL);
	struct tm local;
	if (localtime_r(&now, &local) == NULL)
		return 0;
	return strftime(into, size, "%b %d %H:%M:%S ", &local);
}

/* A log that cannot be written has nowhere to say so: what does not fit is lost. */
static void write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t written = write(fd, text, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		text += written;
		len -= (size_t)written;
	}
}

struct stream_sink {
	int fd;
	bool colours, timestamps;
	char *path; /* NULL: the console */
};

static void write_line(void *ctx, enum log_level level, const char *name, const char *text)
{
	const struct stream_sink *sink = ctx;
	char line[MAX_LINE];
	size_t len = sink->timestamps ? add_time(line, sizeof(line)) : 0;
	const char *colour = sink->colours ? level_colours[level] : "";
	const char *plain = sink->colours ? "\033[0m" : "";
	int more = snprintf(line + len, sizeof(line) - len, "%s\t%s%s%s\t%s\n", name, colour, level_names[level], plain,
			    text);
	if (more < 0)
		return;
	len += (size_t)more;
	if (len >= sizeof(line)) {
		len = sizeof(line) - 1;
		line[len - 1] = '\n';
	}
	write_all(sink->fd, line, len);
}

static void release_stream(void *ctx)
{
	struct stream_sink *sink = ctx;
	if (sink->path != NULL)
		close(sink->fd);
	mem_free(sink->path);
	mem_free(sink);
}

int log_to_console(unsigned levels, bool colours)
{
	struct stream_sink *sink = mem_new(sizeof(*sink));
	*sink = (struct stream_sink){ .fd = STDOUT_FILENO, .colours = colours, .timestamps = true };
	return add(levels, write_line, sink, release_stream);
}

static int open_for_append(const char *path, struct error *error_r)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		error_set(error_r, "cannot write the log file %s: %s (does its directory exist, may our user write there?)",
			  path, strerror(errno));
	return fd;
}

int log_to_file(unsigned levels, const char *path, bool timestamps, struct error *error_r)
{
	int fd = open_for_append(path, error_r);
	if (fd < 0)
		return -1;
	struct stream_sink *sink = mem_new(sizeof(*sink));
	*sink = (struct stream_sink){ .fd = fd, .timestamps = timestamps, .path = mem_copy(slice_of_str(path)) };
	return add(levels, write_line, sink, release_stream);
}

void log_reopen(void)
{
	for (size_t i = 0; i < n_sinks; i++) {
		if (sinks[i].fn != write_line)
			continue;
		struct stream_sink *sink = sinks[i].ctx;
		if (sink->path == NULL)
			continue;
		struct error error;
		int fd = open_for_append(sink->path, &error);
		if (fd < 0) {
			log_error("log", "%s; going on with the old file", error.text);
			continue;
		}
		close(sink->fd);
		sink->fd = fd;
	}
}

static void write_syslog(void *ctx, enum log_level level, const char *name, const char *text)
{
	(void)ctx;
	static const int priorities[] = { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR };
	syslog(priorities[level], "%s: %s", name, text);
}

static void release_syslog(void *ctx)
{
	closelog();
	mem_free(ctx);
}

int log_to_syslog(unsigned levels, const char *ident)
{
	char *kept = mem_copy(slice_of_str(ident)); /* syslog keeps the pointer */
	openlog(kept, LOG_PID | LOG_NDELAY, LOG_DAEMON);
	return add(levels, write_syslog, kept, release_syslog);
}
