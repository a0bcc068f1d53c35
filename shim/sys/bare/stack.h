/* SPDX-License-Identifier: MIT
 *
 * stack.h: the private stacks that everything without a libc runs on.
 *
 * A stack is a block of PPS_STACK_SIZE bytes, aligned to that: a guard page, the stack proper, and at its top a head.
 * So whoever runs on one finds the head, and errno in it, by his own stack pointer.
 */
#ifndef PPSHIM_BARE_STACK_H
#define PPSHIM_BARE_STACK_H

#define PPS_STACK_SIZE 0x10000 /* 64 KiB */
#define PPS_STACK_GUARD 0x1000
#define PPS_STACK_COUNT 64
#define PPS_STACK_HEAD 64 /* bytes: a line of the cache */

/* In the head. */
#define PPS_HEAD_TAKEN 0 /* a word: whether somebody is on it */
#define PPS_HEAD_ERRNO 4 /* a word */
#define PPS_HEAD_SP 8    /* the stack pointer of whom it serves */
#define PPS_HEAD_BACK 16 /* where that goes on */

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

/* Makes them; on any stack, by one thread, once. false: no memory. */
bool pps_stack_make(void);

/* what(with), on a stack of ours. */
long pps_stack_call(long (*what)(void *), void *with);

static inline uintptr_t pps_stack_head(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return (here | (PPS_STACK_SIZE - 1)) + 1 - PPS_STACK_HEAD;
}

/* Only on such a stack. */
static inline int *pps_stack_errno(void)
{
    return (int *)(pps_stack_head() + PPS_HEAD_ERRNO);
}
#endif

#endif
