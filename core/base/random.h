/* Random bytes from the kernel (getrandom), the only source of randomness in the program. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>

void random_bytes(void *into, size_t len);

/* Writes an id of 24 base64url characters (144 random bits) and a NUL. */
#define RANDOM_ID_SIZE 25
void random_id(char into[RANDOM_ID_SIZE]);

#endif
