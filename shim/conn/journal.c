/* SPDX-License-Identifier: MIT
 *
 * journal.c: see journal.h.
 */
#include "journal.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#ifndef MSG_FASTOPEN
#define MSG_FASTOPEN 0x20000000
#endif

#define SEND_BUFFER (1 << 20) /* a process may be so far ahead of the reader; the kernel cuts it down to wmem_max */

static struct sockaddr_un to;
static socklen_t to_length; /* 0: there is no journal */
static const struct pps_journal_shelf *shelf;

static _Atomic int kept; /* our socket, plus one; 0: none */
static _Atomic uint32_t lost, run;

/* --- the socket --- */

static int open_socket(void)
{
    int size = SEND_BUFFER, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return shelf->put(fd);
}

/* A number that may have become somebody else's is forgotten and never closed. -1: none can be had. */
static int our_socket(void)
{
    int plus_one = atomic_load(&kept), none = 0;
    if (plus_one && shelf->holds(plus_one - 1))
        return plus_one - 1;
    if (plus_one)
        atomic_compare_exchange_strong(&kept, &plus_one, 0);
    int fd = open_socket();
    if (fd < 0 || atomic_compare_exchange_strong(&kept, &none, fd + 1))
        return fd;
    shelf->take(fd); /* another thread was faster */
    return none - 1;
}

/* What no socket of ours answers, whatever the journal does. */
static bool is_somebody_elses(int error)
{
    return error == EBADF || error == ENOTSOCK || error == EISCONN || error == ENOTCONN || error == EINVAL ||
           error == EAFNOSUPPORT || error == EOPNOTSUPP || error == EPIPE || error == EALREADY;
}

static bool send_once(const struct msghdr *m, bool *again)
{
    int fd = our_socket(), plus_one = fd + 1;
    if (fd < 0)
        return false;
    if (sendmsg(fd, m, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_FASTOPEN) >= 0)
        return true;
    *again = is_somebody_elses(errno);
    if (*again)
        atomic_compare_exchange_strong(&kept, &plus_one, 0);
    return false;
}

static bool send_datagram(const struct pps_journal_datagram *d, struct pps_view tlvs)
{
    struct iovec parts[] = {{(void *)d, sizeof *d}, {(void *)tlvs.at, d->tlvs_length}};
    struct msghdr m = {
        .msg_name = &to, .msg_namelen = to_length, .msg_iov = parts, .msg_iovlen = d->tlvs_length ? 2 : 1};
    bool again = false;
    return send_once(&m, &again) || (again && send_once(&m, &again));
}

/* --- what is told --- */

static uint32_t this_run(uint64_t now)
{
    uint32_t none = 0, fresh = (uint32_t)(now >> 10) | 1;
    return atomic_load(&run) || atomic_compare_exchange_strong(&run, &none, fresh) ? atomic_load(&run) : none;
}

static enum pps_journal_kind kind_of(const struct pps_header *h)
{
    return h->has_client ? PPS_JOURNAL_PROXIED : h->local ? PPS_JOURNAL_LOCAL : PPS_JOURNAL_UNKNOWN;
}

static void take_header(struct pps_journal_datagram *d, const struct pps_header *h)
{
    size_t length = h->tlvs.length < PPS_JOURNAL_TLVS_MAX ? h->tlvs.length : PPS_JOURNAL_TLVS_MAX;
    d->kind = (uint8_t)kind_of(h);
    d->header_version = h->version;
    d->header_length = (uint32_t)h->length;
    d->tlvs_length = (uint16_t)length;
    d->flags = length < h->tlvs.length ? PPS_JOURNAL_TLVS_CUT : 0;
    if (h->has_client) {
        d->client = h->src;
        d->server = h->dst;
    }
}

void pps_journal_tell(const struct pps_conn *c, const struct pps_header *h, enum pps_journal_kind without)
{
    if (!to_length || c->origin.unix_name)
        return;
    struct pps_journal_datagram d = {.magic = PPS_JOURNAL_MAGIC, .kind = (uint8_t)without};
    d.cookie = pps_sockopt_cookie(c->fd);
    d.time = pps_wall_clock();
    d.run = this_run(d.time);
    d.lost = atomic_load(&lost);
    d.peer = c->peer;
    d.local_port = c->origin.port;
    if (h)
        take_header(&d, h);
    if (!send_datagram(&d, h ? h->tlvs : (struct pps_view){NULL, 0}))
        atomic_fetch_add(&lost, 1);
}

/* --- start, fork --- */

void pps_journal_begin(const char *path, const struct pps_journal_shelf *where)
{
    if (!path)
        return;
    to.sun_family = AF_UNIX;
    memcpy(to.sun_path, path, strlen(path));
    to_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    shelf = where;
}

void pps_journal_after_fork(void)
{
    atomic_store(&lost, 0);
    atomic_store(&run, 0);
}
