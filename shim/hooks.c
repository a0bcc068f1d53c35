/* SPDX-License-Identifier: MIT
 *
 * hooks.c: the symbols the server finds in place of libc's. Nothing else is exported (libppshim.map).
 *
 * Each is the real call when the shim is off, else one call into the module that knows. They keep libc's contract:
 * errno untouched on success, cancellation points where libc has them, callable from signal handlers.
 */
#include <errno.h>
#include <ppshim/accept.h>
#include <ppshim/answer.h>
#include <ppshim/closing.h>
#include <ppshim/listener.h>
#include <ppshim/real.h>
#include <ppshim/start.h>
#include <unistd.h>

#ifndef CLOSE_RANGE_CLOEXEC /* musl */
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

#define EXPORT __attribute__((visibility("default")))

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
    return off() ? real_getpeername(fd, sa, len) : pps_answer_getpeername(fd, sa, len);
}

EXPORT int listen(int fd, int backlog)
{
    int saved = errno, result = real_listen(fd, backlog);
    struct pps_listener unused;
    if (off() || result != 0)
        return result;
    pps_listener_recheck(fd, &unused);
    errno = saved;
    return 0;
}

static void closing(unsigned first, unsigned last)
{
    int saved = errno;
    if (off())
        return;
    pps_closing_range(first, last);
    errno = saved;
}

EXPORT int close(int fd)
{
    if (fd >= 0)
        closing((unsigned)fd, (unsigned)fd);
    return real_close(fd);
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
    if (!(flags & CLOSE_RANGE_CLOEXEC))
        closing(first, last);
    return real_close_range(first, last, flags);
}

EXPORT void closefrom(int lowest)
{
    closing(lowest < 0 ? 0 : (unsigned)lowest, ~0u);
    real_closefrom(lowest);
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
    return duplicated(from, to, real_dup2(from, to));
}

EXPORT int dup3(int from, int to, int flags)
{
    return duplicated(from, to, real_dup3(from, to, flags));
}
