/* SPDX-License-Identifier: MIT
 *
 * guard_page.c: see guard_page.h.
 */
#include "guard_page.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

uint8_t *guard_page(void)
{
    static uint8_t *guard;

    if (!guard) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uint8_t *room = mmap(NULL, GUARD_ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED || mprotect(room + GUARD_ROOM, page, PROT_NONE) != 0)
            abort();
        guard = room + GUARD_ROOM;
    }
    return guard;
}

uint8_t *guard_copy(const void *bytes, size_t size)
{
    uint8_t *at = guard_page() - size;

    if (size > GUARD_ROOM)
        abort();
    return size > 0 ? memmove(at, bytes, size) : at;
}
