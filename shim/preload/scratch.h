/* SPDX-License-Identifier: MIT
 *
 * scratch.h: memory for one call: of the caller's stack, or a mapping when the server watches many descriptors. No
 * malloc: poll and select are called from signal handlers.
 */
#ifndef PPSHIM_SCRATCH_H
#define PPSHIM_SCRATCH_H

#include <stddef.h>
#include <sys/mman.h>

#define PPS_SCRATCH_STACK 1024 /* bytes; thread stacks can be 16 KiB, and those of signal handlers 8 */

struct pps_scratch {
    void *mapped;
    size_t size;
};

/* `stack` has PPS_SCRATCH_STACK bytes. NULL: there is no memory. */
static inline void *pps_scratch_get(struct pps_scratch *s, void *stack, size_t size)
{
    *s = (struct pps_scratch){0};
    if (size <= PPS_SCRATCH_STACK)
        return stack;
    void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    *s = (struct pps_scratch){m, size};
    return m;
}

static inline void pps_scratch_release(void *scratch)
{
    struct pps_scratch *s = scratch;
    if (s->mapped)
        munmap(s->mapped, s->size);
}

#endif
