/* SPDX-License-Identifier: MIT
 *
 * connect.c: the calls of a client that libppconnect.so takes, and the one way to put a header before everything else.
 *
 * The header goes to the kernel together with the connect: sendto(MSG_FASTOPEN) on a socket with
 * TCP_FASTOPEN_NO_COOKIE. The kernel queues it as the connection's first bytes and sends it with the SYN, and again
 * right after the handshake to a server that took no data with the SYN, which is nearly every one. So nothing that
 * follows, by whatever call, thread or process, can come before it, a server that speaks first gets it without the
 * client's doing, and a non-blocking connect stays one: the client's waits and its SO_ERROR are the kernel's own.
 *
 * Where the kernel does not do that (net.ipv4.tcp_fastopen without its client bit, before Linux 4.15, gVisor) or took
 * only a part (more than fits the SYN), the connect is finished here, also on a non-blocking socket, and the header
 * sent before it returns.
 *
 * No state but the next symbols: any thread, any signal handler, after fork.
 */
#include "opening.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <ppshim/sockopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#ifndef TCP_FASTOPEN_NO_COOKIE
#define TCP_FASTOPEN_NO_COOKIE 34
#endif

#define PATIENCE_MS 30000 /* of a connect that is finished here */

/* --- the next definitions --- */

static void *next(_Atomic(void *) *slot, const char *name)
{
    void *found = atomic_load_explicit(slot, memory_order_acquire);
    if (!found) {
        found = dlsym(RTLD_NEXT, name);
        atomic_store_explicit(slot, found, memory_order_release);
    }
    return found;
}

static int real_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    static _Atomic(void *) slot;
    return ((int (*)(int, const struct sockaddr *, socklen_t))next(&slot, "connect"))(fd, sa, len);
}

static ssize_t real_sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *sa, socklen_t len)
{
    static _Atomic(void *) slot;
    return ((ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))next(&slot, "sendto"))(
        fd, bytes, n, flags, sa, len);
}

static ssize_t real_sendmsg(int fd, const struct msghdr *message, int flags)
{
    static _Atomic(void *) slot;
    return ((ssize_t(*)(int, const struct msghdr *, int))next(&slot, "sendmsg"))(fd, message, flags);
}

/* --- the header --- */

/* A TCP socket that was never connected, or is no longer: a second connect() only asks what became of the first. */
static bool is_unconnected_tcp(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    return pps_sockopt_is_tcp(fd) && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_state == TCP_CLOSE;
}

static bool opens(int fd, const struct sockaddr *sa, socklen_t len, struct pps_addr *peer)
{
    int saved = errno;
    bool yes = sa && pps_addr_from_sockaddr(peer, sa, len) && ppc_opening_wanted(peer) && is_unconnected_tcp(fd);
    errno = saved;
    return yes;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

static bool writable_by(int fd, int64_t end)
{
    struct pollfd p = {fd, POLLOUT, 0};
    int64_t left;
    while ((left = end - now_ms()) > 0) {
        int n = poll(&p, 1, (int)left);
        if (n > 0 || (n < 0 && errno != EINTR))
            return n > 0;
    }
    return false;
}

static int error_of(int fd)
{
    int error = pps_sockopt(fd, SOL_SOCKET, SO_ERROR);
    return error >= 0 ? error : errno;
}

/* Waits for a connect under way and sends what is left of the header. A connection that would go on without it is
   ended. */
static int finish(int fd, const struct ppc_opening *o, size_t sent)
{
    int64_t end = now_ms() + PATIENCE_MS;
    do {
        if (!writable_by(fd, end)) {
            shutdown(fd, SHUT_RDWR);
            return fail(ETIMEDOUT);
        }
        int error = error_of(fd);
        if (error)
            return fail(error);
        ssize_t n = real_sendto(fd, o->bytes + sent, o->length - sent, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        sent += n > 0 ? (size_t)n : 0;
    } while (sent < o->length);
    return 0;
}

/* Starts a connect, with as much of the header queued as the kernel takes (*sent). */
static int start(int fd, const struct sockaddr *sa, socklen_t len, const struct ppc_opening *o, size_t *sent)
{
    int on = 1;
    *sent = 0;
    if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof on) == 0) {
        ssize_t n = real_sendto(fd, o->bytes, o->length, MSG_FASTOPEN | MSG_DONTWAIT | MSG_NOSIGNAL, sa, len);
        *sent = n > 0 ? (size_t)n : 0;
        if (n >= 0)
            return fail(EINPROGRESS);
        if (errno != EOPNOTSUPP)
            return -1;
    }
    return real_connect(fd, sa, len);
}

/* As a blocking connect() of its own would have ended. */
static int wait_for(int fd, const struct sockaddr *sa, socklen_t len)
{
    int status = real_connect(fd, sa, len);
    if (status == 0 || errno == EISCONN)
        return 0;
    return errno == EALREADY ? fail(EINPROGRESS) : -1; /* SO_SNDTIMEO */
}

static int connect_with(int fd, const struct sockaddr *sa, socklen_t len, const struct ppc_opening *o, bool wait)
{
    size_t sent;
    int status = start(fd, sa, len, o, &sent);
    if (status != 0 && errno != EINPROGRESS && errno != EINTR)
        return -1;
    if (sent < o->length)
        return finish(fd, o, sent);
    return wait ? wait_for(fd, sa, len) : -1;
}

static void tell_mismatch(const struct pps_addr *peer)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    char text[PPS_ADDR_TEXT];
    if (!atomic_flag_test_and_set(&told))
        fprintf(stderr,
                "libppconnect: not connected to %s: a version 1 header names a client of the other family; use --v2 or "
                "--to\n",
                pps_addr_text(peer, text));
}

static int open_connection(int fd, const struct sockaddr *sa, socklen_t len, const struct pps_addr *peer, int flags)
{
    struct ppc_opening o;
    int saved = errno, file_flags = fcntl(fd, F_GETFL);
    bool wait = !(flags & MSG_DONTWAIT) && !(file_flags & O_NONBLOCK);
    if (!ppc_opening_write(&o, peer)) {
        tell_mismatch(peer);
        return fail(EAFNOSUPPORT);
    }
    int status = connect_with(fd, sa, len, &o, wait);
    if (status == 0)
        errno = saved;
    return status;
}

/* --- what the client calls --- */

__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    struct pps_addr peer;
    return opens(fd, sa, len, &peer) ? open_connection(fd, sa, len, &peer, 0) : real_connect(fd, sa, len);
}

/* Data with a connect of its own: it follows the header, or, as to a server not known yet, the connection has to be
   waited for first (EINPROGRESS). */
__attribute__((visibility("default"))) ssize_t sendto(int fd, const void *bytes, size_t n, int flags,
                                                      const struct sockaddr *sa, socklen_t len)
{
    struct pps_addr peer;
    if (!(flags & MSG_FASTOPEN) || !opens(fd, sa, len, &peer))
        return real_sendto(fd, bytes, n, flags, sa, len);
    if (open_connection(fd, sa, len, &peer, flags) != 0)
        return -1;
    return real_sendto(fd, bytes, n, flags & ~MSG_FASTOPEN, NULL, 0);
}

__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct pps_addr peer;
    if (!(flags & MSG_FASTOPEN) || !opens(fd, message->msg_name, message->msg_namelen, &peer))
        return real_sendmsg(fd, message, flags);
    if (open_connection(fd, message->msg_name, message->msg_namelen, &peer, flags) != 0)
        return -1;
    struct msghdr rest = *message;
    rest.msg_name = NULL;
    rest.msg_namelen = 0;
    return real_sendmsg(fd, &rest, flags & ~MSG_FASTOPEN);
}

/* Where glibc's time_t had 32 bits once, sendmsg is redirected to a name of its own for programs of today, and here. */
#if defined __USE_TIME_BITS64 && __TIMESIZE == 32
__attribute__((visibility("default"))) ssize_t old_sendmsg(int fd, const struct msghdr *message,
                                                           int flags) __asm__("sendmsg");
ssize_t old_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return sendmsg(fd, message, flags);
}
#endif
