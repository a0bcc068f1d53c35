/* SPDX-License-Identifier: MIT
 *
 * stack.c: makes the stacks (stack.h). One mapping: pages are the kernel's until somebody is on them.
 */
#include "stack.h"
#include "call.h"
#include <sys/mman.h>

/* The heads of the first, and one behind that of the last; claimed in assembly. */
__attribute__((visibility("hidden"))) uintptr_t pps_stack_first, pps_stack_end;

bool pps_stack_make(void)
{
    const uintptr_t size = (PPS_STACK_COUNT + 1) * (uintptr_t)PPS_STACK_SIZE;
    long map = pps_call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pps_call_failed(map))
        return false;
    uintptr_t first = ((uintptr_t)map + PPS_STACK_SIZE - 1) & ~(uintptr_t)(PPS_STACK_SIZE - 1);
    for (unsigned i = 0; i < PPS_STACK_COUNT; i++)
        if (pps_call_failed(pps_call(SYS_mprotect, first + i * PPS_STACK_SIZE, PPS_STACK_GUARD, PROT_NONE)))
            return false;
    pps_stack_first = first + PPS_STACK_SIZE - PPS_STACK_HEAD;
    pps_stack_end = pps_stack_first + PPS_STACK_COUNT * PPS_STACK_SIZE;
    return true;
}
