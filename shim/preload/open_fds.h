/* SPDX-License-Identifier: MIT
 *
 * open_fds.h: the descriptors this process has open.
 *
 * Allocates nothing, waits for nothing, may change errno. Any thread, any signal handler. What other threads open,
 * close or move meanwhile may be missed.
 */
#ifndef PPSHIM_OPEN_FDS_H
#define PPSHIM_OPEN_FDS_H

#include <stdbool.h>
#include <stddef.h>

/* Calls `each` with every open number, in no particular order, and with closed ones where it costs less to try them all
   than to ask /proc, or there is none: then those below RLIMIT_NOFILE, the first million of them at most. `about` so
   many are open: a guess will do. */
void pps_open_fds(size_t about, void (*each)(int fd, void *arg), void *arg);

/* The two ways, for unit tests. false: there is no /proc, or no descriptor left to read it with. */
bool pps_open_fds_by_proc(void (*each)(int fd, void *arg), void *arg);
void pps_open_fds_by_trying(void (*each)(int fd, void *arg), void *arg);

#endif
