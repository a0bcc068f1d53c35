/* SPDX-License-Identifier: MIT
 *
 * accept.h: accept4 as the server sees it: governed connections come out ready, in the order in which they became so.
 */
#ifndef PPSHIM_ACCEPT_H
#define PPSHIM_ACCEPT_H

#include <stdbool.h>
#include <sys/socket.h>

/* accept4(2) with the client's address, errors and all. A cancellation point where it waits; sets errno on failure
   only. Safe from any thread and signal handler. */
int pps_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);

/* Whether a thread is in accept on the listener of this record, though it may be closed by now. */
bool pps_accept_is_inside(unsigned index);

/* lock.h's after_fork. */
void pps_accept_after_fork(void);

#endif
