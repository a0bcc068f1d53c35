/* SPDX-License-Identifier: MIT
 *
 * call.h: system calls without a libc: the kernel's own answer, -errno for an error. No state at all: also before there
 * is a stack of ours.
 */
#ifndef PPSHIM_BARE_CALL_H
#define PPSHIM_BARE_CALL_H

#include <stdbool.h>
#include <sys/syscall.h>

static inline long pps_call6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* pps_call(SYS_close, fd): what is not given is 0. */
#define pps_call(...) PPS_CALL_OF(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define PPS_CALL_OF(number, a, b, c, d, e, f, ...)                                                                     \
    pps_call6((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline bool pps_call_failed(long result)
{
    return (unsigned long)result > -4096UL;
}

#endif
