/* SPDX-License-Identifier: MIT
 *
 * accept.h: accept4 as the server sees it: governed connections come out ready, in the order in which they became so.
 */
#ifndef PPSHIM_ACCEPT_H
#define PPSHIM_ACCEPT_H

#include <sys/socket.h>

/* accept4(2) with the client's address, errors and all. A cancellation point where it waits; sets errno on failure
   only. Safe from any thread and signal handler. */
int pps_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);

#endif
