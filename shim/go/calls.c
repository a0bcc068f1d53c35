/* SPDX-License-Identifier: MIT
 *
 * calls.c: what a Go program's system calls do that come through the gate. On a stack of ours, any thread; answers as
 * the kernel does.
 */
#include "../preload/fd_table.h"
#include "../preload/process.h"
#include "../sys/bare/call.h"
#include "exec.h"
#include "gate.h"
#include "listener.h"
#include "state.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/admit.h>
#include <ppshim/govern.h>
#include <ppshim/real.h>
#include <ppshim/sockname.h>
#include <stdatomic.h>

_Static_assert(PPS_FD_MAX == 0x100000 && PPS_FD_OTHER == 1 && PPS_FD_NO_SOCKET == 2 && PPS_FD_INHERITED == 5,
               "gate.S has these numbers");

/* How many connections of no use one accept takes in before it asks its caller to try again. */
#define TRIES 64
/* Threads that may sleep in accept, each on a stack of ours. */
#define SLEEPERS_MAX (64 / 2)

static long kernel(const struct pps_go_call *c)
{
    return pps_call6(c->number, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4], c->a[5]);
}

static long answer(long result)
{
    return result < 0 ? -errno : result;
}

/* --- accept --- */

struct accepting {
    int listener_fd, flags;
    struct sockaddr *sa;
    socklen_t *len, room;
    struct pps_go_listener listener;
    struct pps_conn conn;
};

enum { NOT_THIS_ONE = -4096 }; /* no error of the kernel's */

static long deliver(struct accepting *a, int flags)
{
    const struct pps_client *client = &a->conn.client;
    sa_family_t family = a->listener.origin.inet6 ? AF_INET6 : AF_INET;
    struct sockaddr_storage ss;
    socklen_t length = sizeof ss;
    if (a->sa)
        *a->len = a->room;
    if (a->sa && client->has_addr) {
        if (!pps_sockname_addr(&client->addr, family, client->v6only, a->sa, a->len)) {
            pps_admit_close(&a->conn, PPS_REASON_CLIENT_NEEDS_INET6);
            return NOT_THIS_ONE;
        }
    } else if (a->sa && a->conn.peer_raw_len <= sizeof a->conn.peer_raw) {
        pps_sockname_copy(&a->conn.peer_raw, a->conn.peer_raw_len, a->sa, a->len);
    } else if (a->sa) {
        if (real_getpeername(a->conn.fd, (struct sockaddr *)&ss, &length) != 0)
            length = sizeof ss.ss_family;
        pps_sockname_copy(&ss, length, a->sa, a->len);
    }
    pps_conn_set_flags(&a->conn, flags, a->flags);
    pps_fd_mark(a->conn.fd, PPS_FD_OTHER);
    return a->conn.fd;
}

static bool is_blocking(int fd)
{
    return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/* Who sleeps keeps its stack. */
static long go_to_sleep(long (*sleep)(const struct pps_go_call *), const struct pps_go_call *c)
{
    static atomic_int inside;
    bool few = atomic_fetch_add(&inside, 1) < SLEEPERS_MAX;
    long result = few || !is_blocking((int)c->a[0]) ? sleep(c) : -ENOMEM;
    atomic_fetch_sub(&inside, 1);
    return result;
}

static long kernel_accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags)
{
    return go_to_sleep(kernel, &(struct pps_go_call){SYS_accept4, {fd, (long)sa, (long)length, flags}});
}

static long poll_both(const struct pps_go_call *c)
{
    return pps_call(SYS_poll, c->a[1], 2, c->a[2]);
}

/* Of a listener with pending ones: what fired, or -EAGAIN. The kernel is asked for a connection only when it has one:
   Go programs make a listener blocking without meaning to, in any moment (os.File.Fd), and who sleeps in accept hears
   of no pending one. */
enum { KERNEL = 1, PENDING = 2 };
static long who_is_ready(const struct accepting *a)
{
    struct pollfd fds[2] = {{.fd = a->listener_fd, .events = POLLIN},
                            {.fd = pps_go_listener_private(&a->listener), .events = POLLIN}};
    struct pps_go_call look = {SYS_poll, {a->listener_fd, (long)fds, 0}},
                       sleep = {SYS_poll, {a->listener_fd, (long)fds, -1}};
    long result = poll_both(&look);
    if (result == 0)
        result = is_blocking(a->listener_fd) ? go_to_sleep(poll_both, &sleep) : -EAGAIN;
    return result < 0 ? result : (fds[0].revents ? KERNEL : 0) | (fds[1].revents ? PENDING : 0);
}

static long from_kernel(struct accepting *a)
{
    uint8_t header[PPS_ADMIT_STACK];
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    enum pps_reason reason;
    int flags = a->flags | SOCK_CLOEXEC; /* one that waits is not for children */
    long fd = kernel_accept4(a->listener_fd, (struct sockaddr *)&peer, &length, flags);
    if (fd < 0)
        return fd == -EMFILE && pps_go_listener_evict() ? NOT_THIS_ONE : fd;
    switch (pps_admit_begin(&a->conn, &pps_go_config, &a->listener.origin, (int)fd, (struct sockaddr *)&peer, length,
                            header, sizeof header, &reason)) {
    case PPS_ADMIT_READY:
        return deliver(a, flags);
    case PPS_ADMIT_WAIT:
        pps_go_listener_park(&a->listener, a->listener_fd, &a->conn, flags);
        break;
    case PPS_ADMIT_GONE:
        pps_admit_close(&a->conn, reason);
        break;
    }
    return NOT_THIS_ONE;
}

/* Whoever waits already comes first. */
static long accept_one(struct accepting *a)
{
    int flags;
    long ready = a->listener.pending ? who_is_ready(a) : KERNEL;
    if (ready < 0)
        return ready;
    if (ready & PENDING && pps_go_listener_next(&a->listener, &a->conn, &flags))
        return deliver(a, flags);
    return ready & KERNEL ? from_kernel(a) : NOT_THIS_ONE;
}

/* It takes what EAGAIN means as a reason to sleep until its epoll has an event, and ECONNABORTED as one to try again.
 */
static long accept_governed(struct accepting *a)
{
    if (a->sa && (!a->len || (int)*a->len < 0))
        return a->len ? -EINVAL : -EFAULT;
    a->room = a->sa ? *a->len : 0;
    if (!atomic_load_explicit(&pps_go_status.accepts, memory_order_relaxed))
        atomic_store(&pps_go_status.accepts, 1);
    pps_govern_refresh();
    for (int i = 0; i < TRIES; i++) {
        long result = accept_one(a);
        if (result != NOT_THIS_ONE)
            return result;
        if (!pps_go_listener_find(a->listener_fd, &a->listener))
            return -EBADF;
    }
    return -ECONNABORTED;
}

static long answer_accept(const struct pps_go_call *c, int flags)
{
    struct accepting a = {
        .listener_fd = (int)c->a[0], .flags = flags, .sa = (struct sockaddr *)c->a[1], .len = (socklen_t *)c->a[2]};
    if (pps_fd_kind(a.listener_fd) == PPS_FD_OTHER) /* then its close went unseen: nobody accepts from those */
        pps_fd_mark(a.listener_fd, PPS_FD_UNKNOWN);
    if (pps_go_listener_find(a.listener_fd, &a.listener))
        return accept_governed(&a);
    long fd = kernel_accept4(a.listener_fd, a.sa, a.len, flags);
    if (fd >= 0)
        pps_fd_mark((int)fd, PPS_FD_OTHER);
    return fd;
}

/* --- the others --- */

static long answer_listen(const struct pps_go_call *c)
{
    struct pps_go_listener l;
    long result = kernel(c);
    if (result == 0)
        pps_go_listener_meet((int)c->a[0], &l);
    return result;
}

static long answer_epoll_ctl(const struct pps_go_call *c)
{
    struct pps_go_listener l;
    int epfd = (int)c->a[0], op = (int)c->a[1], fd = (int)c->a[2];
    const struct epoll_event *event = (const struct epoll_event *)c->a[3];
    bool governed = pps_go_listener_find(fd, &l);
    if (governed && op == EPOLL_CTL_DEL)
        pps_go_listener_watched(&l, epfd, op, fd, event);
    long result = kernel(c);
    if (governed && op != EPOLL_CTL_DEL && result == 0)
        pps_go_listener_watched(&l, epfd, op, fd, event);
    return result;
}

static long answer_close(const struct pps_go_call *c)
{
    if (pps_process_is_owner())
        pps_go_listener_forget((int)c->a[0]);
    return kernel(c);
}

/* What `to` was is closed by a dup that succeeded. */
static long answer_dup(const struct pps_go_call *c)
{
    int from = (int)c->a[0], to = (int)c->a[1];
    long result = kernel(c);
    if (result >= 0 && from != to && pps_fd_word(to) != PPS_FD_UNKNOWN && pps_process_is_owner())
        pps_go_listener_forget(to);
    return result;
}

uint8_t pps_go_calls[PPS_GO_NUMBERS] = {
    [SYS_accept] = PPS_GO_TAKE,      [SYS_accept4] = PPS_GO_TAKE,        [SYS_getpeername] = PPS_GO_TAKE,
    [SYS_listen] = PPS_GO_TAKE,      [SYS_epoll_ctl] = PPS_GO_EPOLL_CTL, [SYS_close] = PPS_GO_CLOSE,
    [SYS_dup2] = PPS_GO_TAKE,        [SYS_dup3] = PPS_GO_TAKE,           [SYS_execve] = PPS_GO_TAKE,
    [SYS_getsockname] = PPS_GO_TAKE, [SYS_io_uring_setup] = PPS_GO_TAKE,
};

long pps_go_answer(const struct pps_go_call *c)
{
    struct sockaddr *sa = (struct sockaddr *)c->a[1];
    socklen_t *length = (socklen_t *)c->a[2];
    switch (c->number) {
    case SYS_accept:
        return answer_accept(c, 0);
    case SYS_accept4:
        return answer_accept(c, (int)c->a[3]);
    case SYS_getpeername:
        return answer(pps_sockname_getpeername((int)c->a[0], sa, length));
    case SYS_getsockname:
        return answer(pps_sockname_getsockname((int)c->a[0], sa, length));
    case SYS_listen:
        return answer_listen(c);
    case SYS_epoll_ctl:
        return answer_epoll_ctl(c);
    case SYS_close:
        return answer_close(c);
    case SYS_dup2:
    case SYS_dup3:
        return answer_dup(c);
    case SYS_execve:
        return pps_go_exec(c);
    case SYS_io_uring_setup: /* what is accepted that way would be out of sight */
        return -ENOSYS;
    }
    return kernel(c);
}
