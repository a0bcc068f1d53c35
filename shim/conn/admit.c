/* SPDX-License-Identifier: MIT
 *
 * admit.c: trust, header, verdict (admit.h).
 */
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/admit.h>
#include <ppshim/header.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <ppshim/state.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

/* --- lines --- */

static void begin_line(struct pps_line *l, const char *event, const struct pps_conn *c)
{
    pps_line_begin(l, event);
    if (c->listener.is_unix) { /* its peers are nameless: the listener's name tells as much as can be told */
        pps_line_listener(l, "peer", pps_listener_name(&c->listener));
        return;
    }
    pps_line_addr(l, "peer", &c->peer);
    pps_line_text(l, " local=:");
    pps_line_number_bare(l, c->listener.port);
}

static void line_view(struct pps_line *l, const char *key, struct pps_view v)
{
    if (v.at)
        pps_line_foreign(l, key, v.at, v.length);
}

static void line_tlv(struct pps_line *l, const struct pps_tlv *tlv)
{
    struct pps_ssl ssl;
    switch (tlv->type) {
    case PPS_TLV_ALPN:
        line_view(l, "alpn", tlv->value);
        break;
    case PPS_TLV_AUTHORITY:
        line_view(l, "sni", tlv->value);
        break;
    case PPS_TLV_UNIQUE_ID:
        line_view(l, "id", tlv->value);
        break;
    case PPS_TLV_SSL:
        if (pps_ssl_decode(tlv->value, &ssl)) {
            line_view(l, "ssl", ssl.version);
            line_view(l, ssl.verify ? "cn-unverified" : "cn", ssl.cn);
        }
        break;
    }
}

static void say_accepted(const struct pps_conn *c, const struct pps_header *h)
{
    struct pps_line l;
    struct pps_tlv tlv;
    struct pps_view rest = h->tlvs;
    if (!pps_log_wants(PPS_LOG_INFO))
        return;
    begin_line(&l, "accept", c);
    pps_line_number(&l, "v", h->version);
    if (h->has_client)
        pps_line_addr(&l, "client", &h->src);
    else
        pps_line_word(&l, "client", h->local ? "local" : "unknown");
    while (pps_tlv_next(&rest, &tlv))
        line_tlv(&l, &tlv);
    pps_log(PPS_LOG_INFO, &l);
}

/* Connections that need no line each, but whose number tells an operator what is going on: shown at debug. */
static void count(const char *event, const struct pps_conn *c, _Atomic uint64_t *counter)
{
    struct pps_line l;
    uint64_t n = atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
    if (!pps_log_wants(PPS_LOG_DEBUG))
        return;
    begin_line(&l, event, c);
    pps_line_number(&l, "count", n);
    pps_log(PPS_LOG_DEBUG, &l);
}

/* --- what a complete header says, and whether it may be believed --- */

static enum pps_reason judge(const struct pps_conn *c, const struct pps_header *h)
{
    if (!pps_config.version_accepted[h->version])
        return PPS_REASON_VERSION_REFUSED;
    if (!h->has_client)
        return PPS_REASON_NONE;
    if (pps_addr_is_unspecified(&h->src))
        return PPS_REASON_SRC_UNSPECIFIED;
    if (pps_addr_is_multicast(&h->src))
        return PPS_REASON_SRC_MULTICAST;
    if (pps_addr_is_broadcast(&h->src))
        return PPS_REASON_SRC_BROADCAST;
    if (pps_addr_is_loopback(&h->src) && !pps_addr_is_loopback(&c->peer))
        return PPS_REASON_SRC_LOOPBACK;
    return pps_client_allowed(&h->src) ? PPS_REASON_NONE : PPS_REASON_CLIENT_DENIED;
}

/* What is no host's address cannot have been connected to, and no proxy elsewhere speaks of this host's loopback. */
static bool local_counts(const struct pps_conn *c, const struct pps_addr *dst)
{
    return pps_config.local_from_header && !pps_addr_is_unspecified(dst) && !pps_addr_is_multicast(dst) &&
           !pps_addr_is_broadcast(dst) && (!pps_addr_is_loopback(dst) || pps_addr_is_loopback(&c->peer));
}

static struct pps_client client_of(const struct pps_conn *c, const struct pps_header *h)
{
    return (struct pps_client){.addr = h->src,
                               .v6only = c->listener.v6only,
                               .has_local = h->has_client && local_counts(c, &h->dst),
                               .local = h->dst};
}

static bool consume(const struct pps_conn *c, uint8_t *buf, size_t length)
{
    return recv(c->fd, buf, length, MSG_DONTWAIT) == (ssize_t)length;
}

/* Also that there is nothing to remember: what inherits the socket must not look for a header again. An AF_UNIX socket
   has no room for a client: its family has no addresses. */
static bool remember(const struct pps_conn *c)
{
    return c->listener.is_unix || pps_peer_remember(c->fd, &c->peer, &c->client);
}

static enum pps_admission without_header(const struct pps_conn *c)
{
    remember(c);
    return PPS_ADMIT_READY;
}

static enum pps_reason take(struct pps_conn *c, uint8_t *buf, const struct pps_header *h)
{
    c->claims_client = h->has_client;
    c->client = client_of(c, h);
    enum pps_reason wrong = judge(c, h);
    if (wrong != PPS_REASON_NONE)
        return wrong;
    say_accepted(c, h); /* while its views are what was peeked */
    if (!consume(c, buf, h->length))
        return PPS_REASON_HEADER_STUCK;
    c->client.has_addr = h->has_client && !c->listener.is_unix;
    return remember(c) || !h->has_client ? PPS_REASON_NONE : PPS_REASON_CANNOT_REMEMBER;
}

static enum pps_admission gone(enum pps_reason why, enum pps_reason *reason)
{
    *reason = why;
    return PPS_ADMIT_GONE;
}

static enum pps_admission verdict(struct pps_conn *c, uint8_t *buf, enum pps_reason *reason)
{
    struct pps_header h;
    size_t need;
    switch (pps_header_parse(buf, c->have, &h, &need, reason)) {
    case PPS_HEADER_NEED:
        c->need = (uint32_t)need;
        return PPS_ADMIT_WAIT;
    case PPS_HEADER_INVALID:
        return *reason == PPS_REASON_NOT_A_HEADER && c->trust == PPS_OPTIONAL ? without_header(c) : PPS_ADMIT_GONE;
    case PPS_HEADER_COMPLETE:
        break;
    }
    *reason = take(c, buf, &h);
    return *reason == PPS_REASON_NONE ? PPS_ADMIT_READY : PPS_ADMIT_GONE;
}

/* Who the peer is, and whether it is trusted; false: it was reset before we could ask, and has no address any more. */
static bool meet(struct pps_conn *c, const struct sockaddr *peer, socklen_t peer_len)
{
    static const uint8_t this_host[4] = {127, 0, 0, 1};
    c->peer_raw_len = peer_len;
    memcpy(&c->peer_raw, peer, peer_len < sizeof c->peer_raw ? peer_len : sizeof c->peer_raw);
    if (c->listener.is_unix) {
        c->peer = pps_addr_v4(this_host, 0);
        c->trust = pps_trust_of_listener(pps_listener_name(&c->listener));
        return true;
    }
    if (!pps_addr_from_sockaddr(&c->peer, peer, peer_len))
        return false;
    c->trust = pps_trust_of(&c->peer);
    return true;
}

/* --- what others call --- */

enum pps_admission pps_admit_look(struct pps_conn *c, uint8_t *buf, size_t size, enum pps_reason *reason)
{
    ssize_t n = recv(c->fd, buf, size, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        c->need = c->have + 1;
        return PPS_ADMIT_WAIT;
    }
    if (n <= 0)
        return gone(c->have ? PPS_REASON_PEER_LEFT : PPS_REASON_NONE, reason);
    c->have = (uint32_t)n;
    return verdict(c, buf, reason);
}

enum pps_admission pps_admit_timeout(struct pps_conn *c, uint8_t *buf, size_t size, enum pps_reason *reason)
{
    enum pps_admission a = pps_admit_look(c, buf, size, reason);
    if (a != PPS_ADMIT_WAIT)
        return a;
    if (c->trust == PPS_OPTIONAL && c->have == 0)
        return without_header(c);
    return gone(PPS_REASON_TIMEOUT, reason);
}

enum pps_admission pps_admit_begin(struct pps_conn *c, const struct pps_listener *l, int fd,
                                   const struct sockaddr *peer, socklen_t peer_len, uint8_t *buf, size_t size,
                                   enum pps_reason *reason)
{
    static _Atomic uint64_t passed_untrusted;
    *c = (struct pps_conn){.fd = fd, .listener = *l};
    if (!meet(c, peer, peer_len))
        return gone(PPS_REASON_NONE, reason);
    if (c->trust != PPS_UNTRUSTED)
        return pps_admit_look(c, buf, size, reason);
    if (pps_config.reject_untrusted)
        return gone(PPS_REASON_UNTRUSTED, reason);
    count("pass-untrusted", c, &passed_untrusted);
    return PPS_ADMIT_READY;
}

void pps_admit_close(struct pps_conn *c, enum pps_reason reason)
{
    static _Atomic uint64_t probes;
    struct pps_line l;
    if (reason == PPS_REASON_NONE) {
        count("probe", c, &probes);
    } else if (pps_log_wants(PPS_LOG_NOTICE)) {
        begin_line(&l, "reject", c);
        pps_line_number(&l, "got", c->have);
        pps_line_word(&l, "reason", pps_reason_word(reason));
        if (c->claims_client)
            pps_line_addr(&l, "client", &c->client.addr);
        if (reason == PPS_REASON_TIMEOUT && c->have == 0)
            pps_line_word(&l, "hint", "peer-sent-nothing");
        if (c->inherited)
            pps_line_exe(&l, "not-started");
        pps_log(PPS_LOG_NOTICE, &l);
    }
    shutdown(c->fd, SHUT_RDWR);
    real_close(c->fd);
}
