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
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

/* Where glibc's time_t had 32 bits once (armhf, i386), it has each call that takes a time twice: by its plain name with
   the old times, and by another with those of 64 bits, to which its headers redirect who asks for them
   (features-time64.h). The Makefile does: here and in the whole library the plain names mean the others, and hooks.c
   has the old ones too. */
#if defined __USE_TIME_BITS64 && __TIMESIZE == 32
#define PPS_TWO_TIMES
#define PPS_NAMED_64(other) __asm__(#other)
#else
#define PPS_NAMED_64(other)
#endif
#if !defined __GLIBC__ && __SIZEOF_LONG__ == 4
#error "musl on 32 bits has two names for these calls as well, and nobody has told the library yet"
#endif

/* PPS_FORWARDS f(...) { PPS_FORWARD g(...); }: g is jumped to, whatever the level of optimisation, and returns to f's
   caller. dlopen looks at whom it returns to. */
#ifdef __clang__
#define PPS_FORWARDS
#define PPS_FORWARD __attribute__((musttail)) return
#else
#define PPS_FORWARDS __attribute__((optimize("O2")))
#define PPS_FORWARD return
#endif

/* X(returns, name, parameters, arguments) */
#define PPS_REAL_CALLS(X)                                                                                              \
    X(int, accept, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))                                       \
    X(int, accept4, (int fd, struct sockaddr *sa, socklen_t *len, int flags), (fd, sa, len, flags))                    \
    X(int, getpeername, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))                                  \
    X(int, getsockname, (int fd, struct sockaddr *sa, socklen_t *len), (fd, sa, len))                                  \
    X(int, listen, (int fd, int backlog), (fd, backlog))                                                               \
    X(int, close, (int fd), (fd))                                                                                      \
    X(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags))                              \
    X(void, closefrom, (int lowest), (lowest))                                                                         \
    X(int, dup2, (int from, int to), (from, to))                                                                       \
    X(int, dup3, (int from, int to, int flags), (from, to, flags))                                                     \
    X(int, poll, (struct pollfd * fds, nfds_t n, int timeout_ms), (fds, n, timeout_ms))                                \
    X(int, ppoll, (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask),               \
      (fds, n, timeout, mask))                                                                                         \
    X(int, select, (int n, fd_set *r, fd_set *w, fd_set *e, struct timeval *timeout), (n, r, w, e, timeout))           \
    X(int, pselect, (int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *timeout, const sigset_t *mask),    \
      (n, r, w, e, timeout, mask))                                                                                     \
    X(int, __poll_chk, (struct pollfd * fds, nfds_t n, int timeout_ms, size_t size), (fds, n, timeout_ms, size))       \
    X(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event), (epfd, op, fd, event))                    \
    X(int, epoll_wait, (int epfd, struct epoll_event *events, int max, int timeout_ms),                                \
      (epfd, events, max, timeout_ms))                                                                                 \
    X(int, epoll_pwait, (int epfd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask),         \
      (epfd, events, max, timeout_ms, mask))                                                                           \
    X(int, epoll_pwait2,                                                                                               \
      (int epfd, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *mask),           \
      (epfd, events, max, timeout, mask))                                                                              \
    X(void *, dlopen, (const char *file, int mode), (file, mode))

#define X(returns, name, parameters, arguments) returns real_##name parameters;
PPS_REAL_CALLS(X)
#undef X

/* Resolves all of them now. */
void pps_real_resolve(void);

#endif
