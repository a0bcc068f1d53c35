/* SPDX-License-Identifier: MIT
 *
 * limit_ask.c: see limit_ask.h. What goes over the wire is linux/netlink.h, linux/inet_diag.h and linux/unix_diag.h,
 * which musl's compiler does not find.
 */
#include "limit_ask.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/real.h>
#include <string.h>
#include <sys/socket.h>

#define SOCK_DIAG 4 /* NETLINK_SOCK_DIAG */
#define BY_FAMILY 20
#define ERROR 2
#define REQUEST 1
#define ALL_STATES UINT32_MAX

struct message { /* struct nlmsghdr */
    uint32_t length;
    uint16_t type, flags;
    uint32_t sequence, port;
};

struct inet_id { /* struct inet_diag_sockid; network byte order, all of it but the interface and the cookie */
    uint16_t local_port, peer_port;
    uint8_t local[16], peer[16];
    uint32_t interface, cookie[2];
};

struct question {
    struct message head;
    union {
        struct { /* struct inet_diag_req_v2 */
            uint8_t family, protocol, extensions, unused;
            uint32_t states;
            struct inet_id id;
        } inet;
        struct { /* struct unix_diag_req */
            uint8_t family, protocol;
            uint16_t unused;
            uint32_t states, inode, show, cookie[2];
        } local;
    };
};

struct answer { /* what follows is cut off */
    struct message head;
    union {
        int32_t error; /* negative */
        struct {       /* struct inet_diag_msg */
            uint8_t family, state, timer, retransmits;
            struct inet_id id;
            uint32_t expires, receive_queue, send_queue, uid, inode;
        } inet;
    };
};
_Static_assert(sizeof(struct question) == 16 + 56 && sizeof(struct answer) == 16 + 72, "as the kernel has them");

void pps_ask_begin(struct pps_asker *asker)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &asker->signals);
    asker->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, SOCK_DIAG);
    asker->why = errno;
}

void pps_ask_end(const struct pps_asker *asker)
{
    if (asker->fd >= 0)
        real_close(asker->fd);
    pthread_sigmask(SIG_SETMASK, &asker->signals, NULL);
}

static void write_ip(uint8_t to[16], const struct pps_addr *a)
{
    bool v4 = pps_addr_is_v4(a);
    memcpy(to, v4 ? a->ip + 12 : a->ip, v4 ? 4 : 16);
}

static void write_question(struct question *q, const struct pps_asked *c)
{
    *q = (struct question){.head = {.length = sizeof *q, .type = BY_FAMILY, .flags = REQUEST, .sequence = 1}};
    const uint32_t cookie[2] = {(uint32_t)c->cookie, (uint32_t)(c->cookie >> 32)};
    if (c->inode) {
        q->head.length = sizeof q->head + sizeof q->local;
        q->local.family = AF_UNIX;
        q->local.states = ALL_STATES;
        q->local.inode = (uint32_t)c->inode;
        memcpy(q->local.cookie, cookie, sizeof cookie);
        return;
    }
    /* An IPv4 connection of a dual-stack socket is IPv4's in the kernel's table too. */
    q->inet.family = pps_addr_is_v4(&c->local) ? AF_INET : AF_INET6;
    q->inet.protocol = IPPROTO_TCP;
    q->inet.states = ALL_STATES;
    q->inet.id.local_port = htons(c->local.port);
    q->inet.id.peer_port = htons(c->peer.port);
    write_ip(q->inet.id.local, &c->local);
    write_ip(q->inet.id.peer, &c->peer);
    q->inet.id.interface = c->interface;
    memcpy(q->inet.id.cookie, cookie, sizeof cookie);
}

/* A closed TCP socket that still waits for its peer, or for time to pass, has no inode any more. */
static enum pps_ask read_answer(const struct answer *a, size_t length, bool is_unix)
{
    if (length >= sizeof a->head + sizeof a->error && a->head.type == ERROR) {
        errno = -a->error;
        return errno == ENOENT ? PPS_ASK_ENDED : PPS_ASK_FAILED;
    }
    if (a->head.type == BY_FAMILY && (is_unix || length == sizeof *a))
        return is_unix || a->inet.inode ? PPS_ASK_OPEN : PPS_ASK_ENDED;
    errno = EPROTO;
    return PPS_ASK_FAILED;
}

/* The answer's length; 0 and errno. */
static size_t exchange(const struct pps_asker *asker, const struct pps_asked *c, struct answer *a)
{
    struct question q;
    errno = asker->why;
    write_question(&q, c);
    if (asker->fd < 0 || send(asker->fd, &q, q.head.length, MSG_DONTWAIT) != (ssize_t)q.head.length)
        return 0;
    ssize_t n = recv(asker->fd, a, sizeof *a, MSG_DONTWAIT);
    return n < (ssize_t)sizeof a->head ? 0 : (size_t)n;
}

enum pps_ask pps_ask(const struct pps_asker *asker, const struct pps_asked *c)
{
    struct answer a;
    size_t length = exchange(asker, c, &a);
    return length ? read_answer(&a, length, c->inode != 0) : PPS_ASK_FAILED;
}

unsigned long pps_ask_inode(const struct pps_asker *asker, const struct pps_asked *c)
{
    struct answer a;
    return exchange(asker, c, &a) == sizeof a && a.head.type == BY_FAMILY ? a.inet.inode : 0;
}
