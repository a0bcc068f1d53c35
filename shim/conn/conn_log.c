/* SPDX-License-Identifier: MIT
 *
 * conn_log.c: see conn_log.h.
 */
#include "conn_log.h"
#include <ppshim/header_tlv.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>
#include <stdatomic.h>
#include <sys/socket.h>

/* --- the connection --- */

static void line_local(struct pps_line *l, const struct pps_conn *c)
{
    struct sockaddr_storage own;
    struct pps_addr local;
    socklen_t length = sizeof own;
    if (real_getsockname(c->fd, (struct sockaddr *)&own, &length) == 0 &&
        pps_addr_from_sockaddr(&local, (struct sockaddr *)&own, length))
        pps_line_addr(l, "local", &local);
}

static void begin_line(struct pps_line *l, const char *event, const struct pps_conn *c)
{
    uint64_t cookie = pps_sockopt_cookie(c->fd);
    pps_line_begin(l, event);
    if (c->origin.unix_name) { /* its peers are nameless: the listener's name tells as much as can be told */
        pps_line_listener(l, "peer", c->origin.unix_name);
    } else {
        pps_line_addr(l, "peer", &c->peer);
        line_local(l, c);
    }
    if (cookie)
        pps_line_number(l, "id", cookie);
}

/* --- its header --- */

static void line_facts(struct pps_line *l, const struct pps_header *h)
{
    struct pps_facts facts;
    pps_facts_read(h, &facts);
    for (enum pps_fact_kind kind = 0; kind < PPS_FACT_COUNT; kind++) {
        const struct pps_fact *f = &facts.of[kind];
        if (f->bytes.at && pps_fact_is_number(kind))
            pps_line_number(l, pps_fact_word(kind), f->number);
        else if (f->bytes.at)
            pps_line_foreign(l, pps_fact_word(kind), f->bytes.at, f->bytes.length);
    }
}

static void line_raw(struct pps_line *l, const struct pps_tlv *tlv)
{
    static const char digits[] = "0123456789ABCDEF";
    char key[] = "tlv.0xNN";
    key[6] = digits[tlv->type >> 4];
    key[7] = digits[tlv->type & 15];
    pps_line_hex(l, key, tlv->value.at, tlv->value.length);
}

/* Those that PPSHIM_LOG_TLVS names: the first of each type. */
static void line_raw_tlvs(struct pps_line *l, const struct pps_header *h)
{
    struct pps_view rest = h->tlvs;
    struct pps_tlv tlv;
    bool seen[256] = {false};
    while (pps_tlv_next(&rest, &tlv)) {
        if (!seen[tlv.type] && pps_log_wants_tlv(tlv.type))
            line_raw(l, &tlv);
        seen[tlv.type] = true;
    }
}

/* --- what others call --- */

void pps_conn_log_accept(const struct pps_conn *c, const struct pps_header *h)
{
    struct pps_line l;
    if (!pps_log_wants(PPS_LOG_INFO))
        return;
    begin_line(&l, "accept", c);
    pps_line_number(&l, "v", h->version);
    if (h->has_client) {
        pps_line_addr(&l, "client", &h->src);
        pps_line_addr(&l, "dst", &h->dst);
    } else {
        pps_line_word(&l, "client", h->local ? "local" : "unknown");
    }
    line_facts(&l, h);
    line_raw_tlvs(&l, h);
    pps_log(PPS_LOG_INFO, &l);
}

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

/* A balancer that was left out of the lists looks so, and nothing else tells: its raw headers reach the server.
   Services of inetd are a process for each connection: not of them. */
static void tell_first_untrusted(const struct pps_conn *c)
{
    static atomic_bool told;
    struct pps_line l;
    if (c->origin.inherited || atomic_load_explicit(&told, memory_order_relaxed) || atomic_exchange(&told, true))
        return;
    begin_line(&l, "first-untrusted", c);
    pps_line_word(&l, "hint", "in-no-list");
    pps_log(PPS_LOG_NOTICE, &l);
}

void pps_conn_log_pass_untrusted(const struct pps_conn *c)
{
    static _Atomic uint64_t passed;
    tell_first_untrusted(c);
    count("pass-untrusted", c, &passed);
}

void pps_conn_log_probe(const struct pps_conn *c)
{
    static _Atomic uint64_t probes;
    count("probe", c, &probes);
}

void pps_conn_log_reject(const struct pps_conn *c, enum pps_reason reason)
{
    struct pps_line l;
    if (!pps_log_wants(PPS_LOG_NOTICE))
        return;
    begin_line(&l, "reject", c);
    pps_line_number(&l, "got", c->have);
    pps_line_word(&l, "reason", pps_reason_word(reason));
    if (c->claims_client)
        pps_line_addr(&l, "client", &c->client.addr);
    if (c->refused.length)
        pps_line_foreign(&l, "name", c->refused.text, c->refused.length);
    if (reason == PPS_REASON_TIMEOUT && c->have == 0)
        pps_line_word(&l, "hint", "peer-sent-nothing");
    if (c->origin.inherited)
        pps_line_exe(&l, "not-started");
    pps_log(PPS_LOG_NOTICE, &l);
}

void pps_conn_log_would_reject(const struct pps_conn *c, enum pps_reason reason, const struct pps_addr *client)
{
    struct pps_line l;
    if (!pps_log_wants(PPS_LOG_NOTICE))
        return;
    begin_line(&l, "would-reject", c);
    pps_line_word(&l, "reason", pps_reason_word(reason));
    pps_line_addr(&l, "client", client);
    pps_line_word(&l, "hint", "dry-run");
    pps_log(PPS_LOG_NOTICE, &l);
}
