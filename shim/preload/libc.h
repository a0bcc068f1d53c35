/* SPDX-License-Identifier: MIT
 *
 * libc.h: the libc this library was built for, the one it finds itself in, and what the two do not share.
 *
 * LD_PRELOAD reaches programs of either libc: a container of Alpine's beside Debian's library, a server's own bundle.
 * The Makefile leaves what only one libc has as weak symbols and the musl build without the name of its libc, so that
 * either loads in both. In the wrong one nothing but this module, state.h and log.h may run: they use no such symbol.
 */
#ifndef PPSHIM_LIBC_H
#define PPSHIM_LIBC_H

#include <ppshim/config.h>
#include <stdbool.h>

/* Whether the two are one: without a system call. Where they are not: the line that names both, the program, and what
   would be right. */
bool pps_libc_is_ours(void);
void pps_libc_explain(char text[PPS_ERROR_TEXT]);

/* pthread_atfork(3) without a prepare handler; never in the wrong libc. */
void pps_libc_at_fork(void (*in_parent)(void), void (*in_child)(void));

#endif
