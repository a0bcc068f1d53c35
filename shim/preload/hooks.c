/* SPDX-License-Identifier: MIT
 *
 * hooks.c: the symbols the server finds in place of libc's. Nothing else is exported (libppshim.map).
 *
 * Each is the real call when the shim is off, else one call into the module that knows. They keep libc's contract:
 * errno untouched on success, cancellation points where libc has them, callable from signal handlers.
 */
#undef _FORTIFY_SOURCE /* under it glibc defines poll and ppoll inline, and so do we */
#include "accept.h"
#include "fd_close.h"
#include "interest.h"
#include "listener.h"
#include "state.h"
#include "wait.h"
#include <dlfcn.h>
#include <errno.h>
#include <ppshim/real.h>
#include <ppshim/sockname.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_UNSHARE /* musl */
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

#ifndef RTLD_DEEPBIND /* musl */
#define RTLD_DEEPBIND 0
#endif

#define EXPORT __attribute__((visibility("default")))

/* Calls that not every libc declares get a prototype beside them. */

static inline bool off(void)
{
    return !atomic_load_explicit(&pps_on, memory_order_relaxed);
}

EXPORT int accept(int fd, struct sockaddr *restrict sa, socklen_t *restrict len)
{
    return off() ? real_accept(fd, sa, len) : pps_accept4(fd, sa, len, 0);
}

EXPORT int accept4(int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags)
{
    return off() ? real_accept4(fd, sa, len, flags) : pps_accept4(fd, sa, len, flags);
}

EXPORT int getpeername(int fd, struct sockaddr *restrict sa, socklen_t *restrict len)
{
    return off() ? real_getpeername(fd, sa, len) : pps_sockname_getpeername(fd, sa, len);
}

EXPORT int getsockname(int fd, struct sockaddr *restrict sa, socklen_t *restrict len)
{
    return pps_config.local_from_header ? pps_sockname_getsockname(fd, sa, len) : real_getsockname(fd, sa, len);
}

EXPORT int listen(int fd, int backlog)
{
    int saved = errno, result = real_listen(fd, backlog);
    struct pps_listener l;
    if (off() || result != 0)
        return result;
    bool known = pps_fd_kind(fd) == PPS_FD_GOVERNED;
    if (pps_listener_recheck(fd, &l) == PPS_FD_GOVERNED && !known)
        pps_interest_adopt(fd, &l);
    errno = saved;
    return 0;
}

static void closing(unsigned first, unsigned last)
{
    int saved = errno;
    if (off())
        return;
    pps_fd_close_range(first, last);
    errno = saved;
}

EXPORT int close(int fd)
{
    if (fd >= 0)
        closing((unsigned)fd, (unsigned)fd);
    return real_close(fd);
}

EXPORT int close_range(unsigned first, unsigned last, int flags);
EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    if (first <= last &&
        !(flags & ~(int)CLOSE_RANGE_UNSHARE)) /* CLOSE_RANGE_CLOEXEC closes nothing, others are refused */
        closing(first, last);
    return real_close_range(first, last, flags);
}

EXPORT void closefrom(int lowest);
EXPORT void closefrom(int lowest)
{
    closing(lowest < 0 ? 0 : (unsigned)lowest, ~0u);
    real_closefrom(lowest);
}

/* One of our own descriptors is the server's afterwards. */
static void give_way(int from, int to)
{
    int saved = errno;
    if (off() || from == to)
        return;
    pps_fd_give_way(from, to);
    errno = saved;
}

/* What `to` stood for until now is closed by a dup that succeeded; the number was in use all the time, so afterwards is
   early enough. */
static int duplicated(int from, int to, int result)
{
    if (result >= 0 && from != to)
        closing((unsigned)to, (unsigned)to);
    return result;
}

EXPORT int dup2(int from, int to)
{
    give_way(from, to);
    return duplicated(from, to, real_dup2(from, to));
}

EXPORT int dup3(int from, int to, int flags)
{
    give_way(from, to);
    return duplicated(from, to, real_dup3(from, to, flags));
}

/* --- waiting --- */

#ifndef __clang__ /* glibc declares poll's array write-only, and GCC believes it */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

static struct timespec from_milliseconds(int ms)
{
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
}

/* Timeouts the kernel would refuse are left to it. */
static bool valid(const struct timespec *t)
{
    return !t || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000L);
}

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    struct timespec t = from_milliseconds(timeout_ms < 0 ? 0 : timeout_ms);
    if (off() || !pps_poll_concerns(fds, n))
        return real_poll(fds, n, timeout_ms);
    return pps_ppoll(fds, n, timeout_ms < 0 ? NULL : &t, NULL);
}

EXPORT int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    if (off() || !pps_poll_concerns(fds, n) || !valid(timeout))
        return real_ppoll(fds, n, timeout, mask);
    return pps_ppoll(fds, n, timeout, mask);
}

#ifdef __GLIBC__
/* What poll and ppoll become under _FORTIFY_SOURCE; `size` is the array's. An overflow is libc's to report. */
EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size);
EXPORT int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size)
{
    if (off() || size / sizeof *fds < n || !pps_poll_concerns(fds, n))
        return real___poll_chk(fds, n, timeout_ms, size);
    return poll(fds, n, timeout_ms);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size)
    PPS_NAMED_64(__ppoll64_chk);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size)
{
    if (size / sizeof *fds < n)
        return real___poll_chk(fds, n, 0, size);
    return ppoll(fds, n, timeout, mask);
}
#endif

/* select(2) on Linux writes back what is left of the timeout; pselect does not. */
EXPORT int select(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e, struct timeval *restrict timeout)
{
    struct timespec t, left;
    if (off() || !pps_select_concerns(n, r) || (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0)))
        return real_select(n, r, w, e, timeout);
    if (timeout)
        t = (struct timespec){timeout->tv_sec + timeout->tv_usec / 1000000, timeout->tv_usec % 1000000 * 1000};
    int result = pps_pselect(n, r, w, e, timeout ? &t : NULL, NULL, &left);
    if (timeout)
        *timeout = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
    return result;
}

EXPORT int pselect(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict e,
                   const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
    if (off() || !pps_select_concerns(n, r) || !valid(timeout))
        return real_pselect(n, r, w, e, timeout, mask);
    return pps_pselect(n, r, w, e, timeout, mask, NULL);
}

EXPORT int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    int saved = errno;
    int result = off() ? real_epoll_ctl(epfd, op, fd, event) : pps_interest_ctl(epfd, op, fd, event);
    if (result == 0)
        errno = saved;
    return result;
}

EXPORT int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
    if (off() || !pps_epoll_concerns(epfd))
        return real_epoll_wait(epfd, events, max, timeout_ms);
    return pps_epoll_pwait(epfd, events, max, timeout_ms, NULL);
}

EXPORT int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask)
{
    if (off() || !pps_epoll_concerns(epfd))
        return real_epoll_pwait(epfd, events, max, timeout_ms, mask);
    return pps_epoll_pwait(epfd, events, max, timeout_ms, mask);
}

EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                        const sigset_t *mask);
EXPORT int epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                        const sigset_t *mask)
{
    if (off() || !pps_epoll_concerns(epfd) || !valid(timeout))
        return real_epoll_pwait2(epfd, events, max, timeout, mask);
    return pps_epoll_pwait2(epfd, events, max, timeout, mask);
}

/* --- other names --- */

#ifdef PPS_TWO_TIMES
/* The plain names, for programs whose times have 32 bits: as in glibc the call of today, with its time made wide. */
#define OLD(name, parameters)                                                                                          \
    EXPORT int old_##name parameters __asm__(#name);                                                                   \
    int old_##name parameters

struct old_timespec {
    int32_t tv_sec, tv_nsec;
};
struct old_timeval {
    int32_t tv_sec, tv_usec;
};

static const struct timespec *widen(const struct old_timespec *t, struct timespec *wide)
{
    if (t)
        *wide = (struct timespec){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
    return t ? wide : NULL;
}

OLD(ppoll, (struct pollfd * fds, nfds_t n, const struct old_timespec *timeout, const sigset_t *mask))
{
    struct timespec wide;
    return ppoll(fds, n, widen(timeout, &wide), mask);
}

OLD(__ppoll_chk, (struct pollfd * fds, nfds_t n, const struct old_timespec *timeout, const sigset_t *mask, size_t size))
{
    struct timespec wide;
    return __ppoll_chk(fds, n, widen(timeout, &wide), mask, size);
}

OLD(select, (int n, fd_set *r, fd_set *w, fd_set *e, struct old_timeval *timeout))
{
    struct timeval left = {0};
    if (timeout)
        left = (struct timeval){.tv_sec = timeout->tv_sec, .tv_usec = timeout->tv_usec};
    int result = select(n, r, w, e, timeout ? &left : NULL);
    if (timeout)
        *timeout = (struct old_timeval){(int32_t)left.tv_sec, (int32_t)left.tv_usec};
    return result;
}

OLD(pselect, (int n, fd_set *r, fd_set *w, fd_set *e, const struct old_timespec *timeout, const sigset_t *mask))
{
    struct timespec wide;
    return pselect(n, r, w, e, widen(timeout, &wide), mask);
}

OLD(epoll_pwait2,
    (int epfd, struct epoll_event *events, int max, const struct old_timespec *timeout, const sigset_t *mask))
{
    struct timespec wide;
    return epoll_pwait2(epfd, events, max, widen(timeout, &wide), mask);
}
#else
#define old_select select
#endif

/* What libc calls the same functions by, for programs and libraries of old: libnsl calls __poll. In musl there is
   another one that closes. */
#ifdef __GLIBC__
#define ALSO(name, function) EXPORT __typeof__(function) __##name __attribute__((alias(#name)))
ALSO(close, close);
ALSO(dup2, dup2) __THROW;
ALSO(poll, poll);
ALSO(select, old_select);
#else
EXPORT int posix_close(int fd, int flags)
{
    (void)flags;
    return close(fd);
}
#endif

/* --- loading --- */

/* Plugins that are loaded so that they find libc's symbols before any preload's (PHP's extensions are) find ours like
   everybody. Where a file is looked for depends on who calls, and that is still the server. */
PPS_FORWARDS EXPORT void *dlopen(const char *file, int mode)
{
    PPS_FORWARD real_dlopen(file, off() ? mode : mode & ~RTLD_DEEPBIND);
}
