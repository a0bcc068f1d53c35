/* SPDX-License-Identifier: MIT
 *
 * real.h: the next definition of each libc call we interpose (dlsym RTLD_NEXT), so that we stack with other preloads.
 *
 * Inside the shim only hooks.c may define these names and nobody may call them bare: a bare close() would come back in
 * through our own hook. Resolved on first use, because other libraries' constructors call close() and friends before
 * ours runs; the constructor resolves them all, so that later first uses cannot happen inside a signal handler.
 * Semantics, errors and cancellation are libc's own.
 */
#ifndef PPSHIM_REAL_H
#define PPSHIM_REAL_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* X(returns, name, parameters, arguments) */
#define PPS_REAL_CALLS(X)                                                                                              \
    X(int, accept, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))                                       \
    X(int, accept4, (int fd, struct sockaddr *sa, socklen_t *len, int flags), (fd, sa, len, flags))                    \
    X(int, getpeername, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))                                  \
    X(int, listen, (int fd, int backlog), (fd, backlog))                                                               \
    X(int, close, (int fd), (fd))                                                                                      \
    X(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags))                              \
    X(void, closefrom, (int lowest), (lowest))                                                                         \
    X(int, dup2, (int from, int to), (from, to))                                                                       \
    X(int, dup3, (int from, int to, int flags), (from, to, flags))                                            \
    X(int, poll, (struct pollfd * fds, nfds_t n, int timeout_ms), (fds, n, timeout_ms))                                \
    X(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event), (epfd, op, fd, event))                    \
    X(int, epoll_wait, (int epfd, struct epoll_event * events, int max, int timeout_ms),                               \
      (epfd, events, max, timeout_ms))

#define X(returns, name, parameters, arguments) returns real_##name parameters;
PPS_REAL_CALLS(X)
#undef X

/* Resolves all of them now. */
void pps_real_resolve(void);

#endif
