/* SPDX-License-Identifier: MIT
 *
 * wait.h: poll, select and epoll_wait that call a governed listener readable exactly when accept would return a
 * connection, or an error the server must see.
 *
 * Timeouts, signal masks, EINTR, other descriptors and other events mean what they mean without us. Each call is a
 * cancellation point where it waits, and sets errno on failure only. A wait that names no governed listener is not
 * meant to come here: ask the *_concerns question first, one array look-up a descriptor.
 */
#ifndef PPSHIM_WAIT_H
#define PPSHIM_WAIT_H

#include "fd_table.h"
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

bool pps_poll_concerns(const struct pollfd *fds, nfds_t n);
/* ppoll(2); poll(2) with mask NULL. */
int pps_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);

bool pps_select_concerns(int n, const fd_set *readable);
/* pselect(2); select(2) with mask NULL. *left, if asked for, is what remains of the timeout. */
int pps_pselect(int n, fd_set *readable, fd_set *writable, fd_set *exceptional, const struct timespec *timeout,
                const sigset_t *mask, struct timespec *left);

static inline bool pps_epoll_concerns(int epfd)
{
    return pps_fd_kind(epfd) == PPS_FD_EPOLL;
}
/* Whether an epoll that is said to be readable is: acquires for what it holds. */
bool pps_epoll_is_ready(int epfd);
/* epoll_pwait(2), epoll_wait(2) with mask NULL. */
int pps_epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask);
/* epoll_pwait2(2). */
int pps_epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                     const sigset_t *mask);

#endif
