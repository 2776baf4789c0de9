#include "base/mem.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Nothing here may allocate, so the message is fixed. */
_Noreturn void mem_exhausted(void)
{
	static const char text[] = "out of memory: the machine (or its memory limit) has nothing left to give; stopping\n";
	ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)written;
	abort();
}

void *mem_new(size_t size)
{
	void *block = calloc(1, size > 0 ? size : 1);
	if (block == NULL)
		mem_exhausted();
	return block;
}

void *mem_resize(void *old, size_t size)
{
	void *block = realloc(old, size > 0 ? size : 1);
	if (block == NULL)
		mem_exhausted();
	return block;
}

char *mem_copy(struct slice text)
{
	char *copy = mem_resize(NULL, text.len + 1);
	if (text.len > 0)
		memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	return copy;
}

void mem_free(void *block)
{
	free(block);
}

size_t mem_in_use(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

/* Pages of code and constants are read-only and come from their files again when touched; start-up and logins touch
 * many that nothing else needs. */
static int drop_code_pages(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	(void)ctx;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		if (part->p_type != PT_LOAD || (part->p_flags & PF_W) != 0)
			continue;
		uintptr_t start = (info->dlpi_addr + part->p_vaddr + page - 1) & ~(page - 1);
		uintptr_t end = (info->dlpi_addr + part->p_vaddr + part->p_memsz) & ~(page - 1);
		if (end > start)
			madvise((void *)start, end - start, MADV_DONTNEED); /* only advice: failing changes nothing */
	}
	return 0;
}

void mem_trim(void)
{
	malloc_trim(0);
	dl_iterate_phdr(drop_code_pages, NULL);
}
