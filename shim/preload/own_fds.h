/* SPDX-License-Identifier: MIT
 *
 * own_fds.h: descriptors of the shim's own, out of the server's way.
 *
 * They sit in a band at the top of RLIMIT_NOFILE: servers size tables by the numbers they see, and select sees none
 * above 1023. Where there is no room they stay low. Always close-on-exec. Any thread; may change errno.
 */
#ifndef PPSHIM_OWN_FDS_H
#define PPSHIM_OWN_FDS_H

#include <ppshim/journal.h>
#include <stdbool.h>

/* Once, before the first: room for so many, as RLIMIT_NOFILE is now. */
void pps_own_fds_reserve(unsigned count);

/* Moves `fd` up, and marks it. Returns its number. */
int pps_own_fd_raise(int fd);
/* The reverse: the lowest free number, as accept would have given. */
int pps_own_fd_lower(int high, bool cloexec);

/* A descriptor just opened, or -1; *plus_one is 0 when it was not. */
bool pps_own_fd_open(int *plus_one, int fd);
void pps_own_fd_close(int *plus_one);

/* For the journal's socket. */
extern const struct pps_journal_shelf pps_own_shelf;

#endif
