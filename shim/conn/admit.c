/* SPDX-License-Identifier: MIT
 *
 * admit.c: trust, header, verdict (admit.h).
 */
#include "events.h"
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/admit.h>
#include <ppshim/deadline.h>
#include <ppshim/header.h>
#include <ppshim/limits.h>
#include <ppshim/real.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* --- what a complete header says, and whether it may be believed --- */

static enum pps_reason judge_source(const struct pps_conn *c, const struct pps_header *h)
{
    if (pps_addr_is_unspecified(&h->src))
        return PPS_REASON_SRC_UNSPECIFIED;
    if (pps_addr_is_multicast(&h->src))
        return PPS_REASON_SRC_MULTICAST;
    if (pps_addr_is_broadcast(&h->src))
        return PPS_REASON_SRC_BROADCAST;
    if (pps_addr_is_loopback(&h->src) && !pps_addr_is_loopback(&c->peer))
        return PPS_REASON_SRC_LOOPBACK;
    return PPS_REASON_NONE;
}

/* A LOCAL header is the balancer's own: no list of clients is about it. */
static enum pps_reason judge(struct pps_conn *c, const struct pps_config *config, const struct pps_header *h)
{
    enum pps_reason wrong = h->has_client ? judge_source(c, h) : PPS_REASON_NONE;
    if (!config->version_accepted[h->version])
        return PPS_REASON_VERSION_REFUSED;
    if (wrong != PPS_REASON_NONE || h->local)
        return wrong;
    if (!pps_client_allowed(h, &c->refused))
        return PPS_REASON_CLIENT_DENIED;
    return h->has_client ? pps_limits_judge(c, config, &h->src) : PPS_REASON_NONE;
}

/* What is no host's address cannot have been connected to, and no proxy elsewhere speaks of this host's loopback. */
static bool local_counts(const struct pps_conn *c, const struct pps_config *config, const struct pps_addr *dst)
{
    return config->local_from_header && !pps_addr_is_unspecified(dst) && !pps_addr_is_multicast(dst) &&
           !pps_addr_is_broadcast(dst) && (!pps_addr_is_loopback(dst) || pps_addr_is_loopback(&c->peer));
}

static struct pps_client client_of(const struct pps_conn *c, const struct pps_config *config,
                                   const struct pps_header *h)
{
    return (struct pps_client){.addr = h->src,
                               .v6only = c->origin.v6only,
                               .has_local = h->has_client && local_counts(c, config, &h->dst),
                               .local = h->dst};
}

static bool consume(const struct pps_conn *c, uint8_t *buf, size_t length)
{
    return recv(c->fd, buf, length, MSG_DONTWAIT) == (ssize_t)length;
}

/* Also that there is nothing to remember: what inherits the socket must not look for a header again. An AF_UNIX socket
   has no room for a client: its family has no addresses. */
static bool remember(struct pps_conn *c)
{
    c->client.since = (uint32_t)time(NULL);
    return c->origin.unix_name || pps_client_remember(c->fd, &c->peer, &c->client);
}

static enum pps_admission gone(enum pps_reason why, enum pps_reason *reason)
{
    *reason = why;
    return PPS_ADMIT_GONE;
}

/* Whom the server takes for the client is limited as one. The peers of an AF_UNIX listener are nobody. */
static bool is_within_limits(const struct pps_conn *c, const struct pps_config *config, enum pps_reason *reason)
{
    *reason = c->origin.unix_name ? PPS_REASON_NONE : pps_limits_judge(c, config, &c->peer);
    return *reason == PPS_REASON_NONE;
}

static enum pps_admission without_header(struct pps_conn *c, const struct pps_config *config, enum pps_reason *reason)
{
    if (!is_within_limits(c, config, reason))
        return PPS_ADMIT_GONE;
    remember(c);
    pps_event_passed_without_header(c);
    return PPS_ADMIT_READY;
}

static enum pps_reason take(struct pps_conn *c, const struct pps_config *config, uint8_t *buf,
                            const struct pps_header *h)
{
    c->claims_client = h->has_client;
    c->client = client_of(c, config, h);
    enum pps_reason wrong = judge(c, config, h);
    if (wrong != PPS_REASON_NONE)
        return wrong;
    if (!consume(c, buf, h->length)) /* the same bytes again: the views of *h stay true */
        return PPS_REASON_HEADER_STUCK;
    c->client.has_addr = h->has_client && !c->origin.unix_name;
    if (!remember(c) && h->has_client)
        return PPS_REASON_CANNOT_REMEMBER;
    pps_event_accepted(c, h);
    return PPS_REASON_NONE;
}

/* Why a look failed that saw no bytes: the peer's going is nobody's fault, nor worth a line if it never spoke. */
static enum pps_reason unseen(const struct pps_conn *c, int error)
{
    switch (error) {
    case ENOMEM:
    case ENOBUFS:
        return PPS_REASON_NO_ROOM;
    case EBADF:
    case EFAULT:
    case EINVAL:
    case ENOTSOCK:
        return PPS_REASON_HEADER_STUCK;
    }
    return c->have ? PPS_REASON_PEER_LEFT : PPS_REASON_NONE;
}

static enum pps_admission wait_for(struct pps_conn *c, uint32_t need)
{
    c->need = need;
    if (!c->arrived)
        c->arrived = pps_now();
    return PPS_ADMIT_WAIT;
}

static enum pps_admission verdict(struct pps_conn *c, const struct pps_config *config, uint8_t *buf,
                                  enum pps_reason *reason)
{
    struct pps_header h;
    size_t need;
    switch (pps_header_parse(buf, c->have, &h, &need, reason)) {
    case PPS_HEADER_NEED:
        return wait_for(c, (uint32_t)need);
    case PPS_HEADER_INVALID:
        return *reason == PPS_REASON_NOT_A_HEADER && c->trust == PPS_OPTIONAL ? without_header(c, config, reason)
                                                                              : PPS_ADMIT_GONE;
    case PPS_HEADER_COMPLETE:
        break;
    }
    *reason = take(c, config, buf, &h);
    return *reason == PPS_REASON_NONE ? PPS_ADMIT_READY : PPS_ADMIT_GONE;
}

/* Who the peer is, and whether it is trusted; false: it was reset before we could ask, and has no address any more. */
static bool meet(struct pps_conn *c, const struct sockaddr *peer, socklen_t peer_len)
{
    static const uint8_t this_host[4] = {127, 0, 0, 1};
    c->peer_raw_len = peer_len;
    memcpy(&c->peer_raw, peer, peer_len < sizeof c->peer_raw ? peer_len : sizeof c->peer_raw);
    if (c->origin.unix_name) {
        c->inode = pps_conn_inode(c->fd);
        c->peer = pps_addr_v4(this_host, 0);
        c->trust = pps_trust_of_listener(c->origin.unix_name);
        return true;
    }
    if (!pps_addr_from_sockaddr(&c->peer, peer, peer_len))
        return false;
    c->trust = pps_trust_of(&c->peer);
    return true;
}

/* --- what others call --- */

enum pps_admission pps_admit_look(struct pps_conn *c, const struct pps_config *config, uint8_t *buf, size_t size,
                                  enum pps_reason *reason)
{
    ssize_t n = recv(c->fd, buf, size, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return wait_for(c, c->have + 1);
    if (n <= 0)
        return gone(unseen(c, n < 0 ? errno : 0), reason);
    c->have = (uint32_t)n;
    return verdict(c, config, buf, reason);
}

enum pps_admission pps_admit_progress(struct pps_conn *c, const struct pps_config *config, uint8_t *buf, size_t size,
                                      bool ended, struct pps_lowat *wait, enum pps_reason *reason)
{
    enum pps_admission a = pps_admit_look(c, config, buf, size, reason);
    if (a != PPS_ADMIT_WAIT)
        return a;
    if (ended)
        return gone(c->have ? PPS_REASON_PEER_LEFT : PPS_REASON_NONE, reason);
    return pps_lowat_ask(wait, c->fd, c->need) ? PPS_ADMIT_WAIT : gone(PPS_REASON_HEADER_STUCK, reason);
}

enum pps_admission pps_admit_timeout(struct pps_conn *c, const struct pps_config *config, uint8_t *buf, size_t size,
                                     enum pps_reason *reason)
{
    enum pps_admission a = pps_admit_look(c, config, buf, size, reason);
    if (a != PPS_ADMIT_WAIT)
        return a;
    if (c->trust == PPS_OPTIONAL && c->have == 0)
        return without_header(c, config, reason);
    return gone(PPS_REASON_TIMEOUT, reason);
}

enum pps_admission pps_admit_begin(struct pps_conn *c, const struct pps_config *config, const struct pps_origin *origin,
                                   int fd, const struct sockaddr *peer, socklen_t peer_len, uint8_t *buf, size_t size,
                                   enum pps_reason *reason)
{
    *c = (struct pps_conn){.fd = fd, .origin = *origin};
    pps_event_arrived(c);
    if (!meet(c, peer, peer_len))
        return gone(PPS_REASON_NONE, reason);
    if (c->trust != PPS_UNTRUSTED)
        return pps_admit_look(c, config, buf, size, reason);
    if (config->reject_untrusted)
        return gone(PPS_REASON_UNTRUSTED, reason);
    if (!is_within_limits(c, config, reason))
        return PPS_ADMIT_GONE;
    pps_event_passed_untrusted(c);
    return PPS_ADMIT_READY;
}

/* To connect to nobody is to reset: nothing of it stays in the kernel, whoever holds a copy. */
static bool reset(int fd)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    return connect(fd, &nobody, sizeof nobody) == 0;
}

void pps_admit_close(struct pps_conn *c, enum pps_reason reason)
{
    if (reason == PPS_REASON_NONE)
        pps_event_probe(c);
    else
        pps_event_rejected(c, reason);
    if (!pps_limits_reset(reason) || !reset(c->fd))
        shutdown(c->fd, SHUT_RDWR);
    real_close(c->fd);
}
