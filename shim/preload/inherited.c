/* SPDX-License-Identifier: MIT
 *
 * inherited.c: headers of connections that this process was started with (inherited.h).
 *
 * Runs before main, with one thread, and keeps nothing: neither memory nor a descriptor.
 */
#include "inherited.h"
#include "state.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <ppshim/admit.h>
#include <ppshim/client.h>
#include <ppshim/deadline.h>
#include <ppshim/header.h>
#include <ppshim/lowat.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>
#include <ppshim/trust.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_FDS_START 3 /* sd_listen_fds(3) */

static uint8_t header[PPS_HEADER_MAX]; /* zero pages until used */

struct inherited {
    int fd;
    struct sockaddr_storage peer; /* the real one */
    socklen_t peer_len;           /* 0: it is no more */
    struct pps_origin origin;     /* what accept would have known of the listener that accepted it */
    uint64_t deadline;            /* deadline.h */
};

/* --- is it a connection that was accepted and may have a header in front --- */

/* The kernel's struct tcp_info as far as it is of use here; libc's is older than segs_in (Linux 4.2). */
struct tcp_facts {
    uint8_t state, unused[135];
    uint32_t segs_out, segs_in;
};
_Static_assert(sizeof(struct tcp_facts) == 144, "as in linux/tcp.h");

/* Its peer reset it before we could ask who that is, and what it sent can still be read. Not a listener, nor one that
   was never connected (a refused attempt has seen one segment), nor one that an earlier image has judged. */
static bool was_reset(int fd)
{
    struct tcp_facts facts = {.state = 0};
    socklen_t len = sizeof facts;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &facts, &len) == 0 && facts.state == TCP_CLOSE && facts.segs_in > 1 &&
           !pps_client_is_marked(fd);
}

static bool has_peer(struct inherited *in)
{
    struct pps_addr peer;
    struct pps_client unused;
    in->peer_len = sizeof in->peer;
    if (real_getpeername(in->fd, (struct sockaddr *)&in->peer, &in->peer_len) == 0)
        return pps_addr_from_sockaddr(&peer, (struct sockaddr *)&in->peer, in->peer_len) &&
               !pps_client_recall(in->fd, &peer, &unused) && pps_sockopt_is_tcp(in->fd);
    in->peer_len = 0;
    return errno == ENOTCONN && pps_sockopt_is_tcp(in->fd) && was_reset(in->fd);
}

static bool is_governed(struct inherited *in)
{
    struct sockaddr_storage ss;
    struct pps_addr local;
    socklen_t len = sizeof ss;
    if (real_getsockname(in->fd, (struct sockaddr *)&ss, &len) != 0 ||
        !pps_addr_from_sockaddr(&local, (struct sockaddr *)&ss, len) || !pps_config_governs(&pps_config, local.port))
        return false;
    bool inet6 = ss.ss_family == AF_INET6;
    in->origin = (struct pps_origin){.inherited = true,
                                     .lowat = pps_sockopt(in->fd, SOL_SOCKET, SO_RCVLOWAT),
                                     .port = local.port,
                                     .inet6 = inet6,
                                     .v6only = inet6 && pps_sockopt(in->fd, IPPROTO_IPV6, IPV6_V6ONLY) > 0};
    return true;
}

/* --- its header --- */

static enum pps_admission refuse(enum pps_reason why, enum pps_reason *reason)
{
    *reason = why;
    return PPS_ADMIT_GONE;
}

static enum pps_admission wait_on(int epoll, struct pps_conn *c, uint64_t deadline, struct pps_lowat *w,
                                  enum pps_reason *reason)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
    enum pps_admission a = PPS_ADMIT_WAIT;
    pps_lowat_ask(w, c->fd, c->need); /* if it cannot be, the next look says so */
    if (real_epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        return refuse(PPS_REASON_NO_ROOM, reason);
    while (a == PPS_ADMIT_WAIT) {
        uint64_t left = pps_time_left(deadline);
        if (!left)
            a = pps_admit_timeout(c, &pps_config, header, sizeof header, reason);
        else if (real_epoll_wait(epoll, &e, 1, pps_milliseconds(left)) == 1)
            a = pps_admit_progress(c, &pps_config, header, sizeof header, e.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR),
                                   w, reason);
    }
    return a;
}

static enum pps_admission wait_for_header(struct pps_conn *c, uint64_t deadline, enum pps_reason *reason)
{
    struct pps_lowat w;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return refuse(PPS_REASON_NO_ROOM, reason);
    pps_lowat_begin(&w, c->origin.lowat);
    enum pps_admission a = wait_on(epoll, c, deadline, &w, reason);
    pps_lowat_end(&w, c->fd);
    real_close(epoll); /* what it watches may be open elsewhere, but the epoll is ours alone */
    return a;
}

_Noreturn static void end(struct pps_conn *c, enum pps_reason reason)
{
    pps_admit_close(c, reason);
    _exit(reason == PPS_REASON_NONE ? 0 : PPS_EXIT_CONFIG);
}

/* From an untrusted peer nothing is taken, and that too is done once: the lists of a later image may say otherwise, in
   the middle of a session. */
static void mark_judged(const struct pps_conn *c)
{
    static const struct pps_client nobody;
    if (c->trust == PPS_UNTRUSTED)
        pps_client_remember(c->fd, &c->peer, &nobody);
}

static void take(const struct inherited *in)
{
    struct pps_conn c;
    enum pps_reason reason;
    bool lasting = pps_client_outlives_exec(in->fd);
    enum pps_admission a = pps_admit_begin(&c, &pps_config, &in->origin, in->fd, (const struct sockaddr *)&in->peer,
                                           in->peer_len, header, sizeof header, &reason);
    if (a != PPS_ADMIT_GONE && c.trust != PPS_UNTRUSTED && !lasting) /* the next image would look for a header again */
        a = refuse(PPS_REASON_CANNOT_REMEMBER, &reason);
    if (a == PPS_ADMIT_WAIT)
        a = wait_for_header(&c, in->deadline, &reason);
    if (a == PPS_ADMIT_GONE)
        end(&c, reason);
    if (lasting)
        mark_judged(&c);
}

static void look_at(int fd, uint64_t deadline)
{
    char error[PPS_ERROR_TEXT];
    struct inherited in = {.fd = fd, .deadline = deadline};
    if (!has_peer(&in) || !is_governed(&in))
        return;
    if (!pps_trust_load(&pps_config, error))
        pps_stop_misconfigured(error);
    take(&in);
}

/* --- where they may be --- */

static int number_in(const char *name)
{
    const char *text = getenv(name);
    char *end_of_number;
    long n = text ? strtol(text, &end_of_number, 10) : -1;
    return text && *text && !*end_of_number && n > 0 && n <= INT32_MAX ? (int)n : 0;
}

/* How many were handed to this very process. */
static int listen_fds(void)
{
    int pid = number_in("LISTEN_PID");
    return pid && pid == getpid() ? number_in("LISTEN_FDS") : 0;
}

void pps_inherited_take(void)
{
    if (!pps_config.inherited)
        return;
    uint64_t deadline = pps_now() + pps_config_timeout(&pps_config);
    int passed = listen_fds();
    look_at(STDIN_FILENO, deadline);
    for (int fd = LISTEN_FDS_START; fd - LISTEN_FDS_START < passed && fcntl(fd, F_GETFD) >= 0; fd++)
        look_at(fd, deadline);
}
