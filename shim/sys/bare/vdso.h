/* SPDX-License-Identifier: MIT
 *
 * vdso.h: the clock without a system call, as libc reads it: by the function that the kernel maps into each process
 * (vdso(7)).
 */
#ifndef PPSHIM_BARE_VDSO_H
#define PPSHIM_BARE_VDSO_H

#include <time.h>

/* Looks for it, once, while /proc can be read: a server may close that door behind itself. Until then, and where the
   kernel has none (vdso=0, other kernels), the clock is a system call. */
void pps_vdso_find(void);

/* As clock_gettime(2), or -errno. */
int pps_vdso_clock(clockid_t clock, struct timespec *out);

#endif
