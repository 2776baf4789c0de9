#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

void random_bytes(void *into, size_t len)
{
	char *at = into;
	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			/* Going on with predictable ids and keys would be worse than an end. */
			static const char text[] = "getrandom failed: the kernel gives no random bytes; stopping\n";
			ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
			(void)written;
			abort();
		}
		at += got;
		len -= (size_t)got;
	}
}

void random_id(char into[RANDOM_ID_SIZE])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char bytes[RANDOM_ID_SIZE - 1];
	random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		into[i] = alphabet[bytes[i] & 63]; /* 64 letters: no letter is likelier than another */
	into[RANDOM_ID_SIZE - 1] = '\0';
}
