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

/* NULL where the two are one, else the line that names both and says what would be right. */
const char *pps_libc_mismatch(void);

/* pthread_atfork(3) without a prepare handler; never in the wrong libc. */
void pps_libc_at_fork(void (*in_parent)(void), void (*in_child)(void));

#endif
