#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* As vsnprintf, but what does not fit is cut on a character boundary. */
__attribute__((format(printf, 3, 0))) static void format_text(char *into, size_t size, const char *format, va_list args)
{
	int len = vsnprintf(into, size, format, args);
	if (len < 0)
		into[0] = '\0';
	if (len < 0 || (size_t)len < size)
		return;
	/* vsnprintf wrote size - 1 bytes; the last character may have lost its end. */
	size_t start = size - 2;
	while (start > 0 && ((unsigned char)into[start] & 0xc0) == 0x80)
		start--;
	if (utf8_length(slice_of(into + start, size - 1 - start)) == 0)
		into[start] = '\0';
}

int error_set(struct error *error, const char *format, ...)
{
	if (error == NULL)
		return -1;
	va_list args;
	va_start(args, format);
	format_text(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -1;
}

int error_prefix(struct error *error, const char *format, ...)
{
	if (error == NULL)
		return -1;
	struct error context;
	va_list args;
	va_start(args, format);
	format_text(context.text, sizeof(context.text), format, args);
	va_end(args);
	struct error inner = *error;
	return error_set(error, "%s: %s", context.text, inner.text);
}
