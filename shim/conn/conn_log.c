/* SPDX-License-Identifier: MIT
 *
 * conn_log.c: see conn_log.h.
 */
#include "conn_log.h"
#include <ppshim/log.h>
#include <stdatomic.h>

static void begin_line(struct pps_line *l, const char *event, const struct pps_conn *c)
{
    pps_line_begin(l, event);
    if (c->origin.unix_name) { /* its peers are nameless: the listener's name tells as much as can be told */
        pps_line_listener(l, "peer", c->origin.unix_name);
        return;
    }
    pps_line_addr(l, "peer", &c->peer);
    pps_line_text(l, " local=:");
    pps_line_number_bare(l, c->origin.port);
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

void pps_conn_log_accept(const struct pps_conn *c, const struct pps_header *h)
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

void pps_conn_log_pass_untrusted(const struct pps_conn *c)
{
    static _Atomic uint64_t passed;
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
    if (reason == PPS_REASON_TIMEOUT && c->have == 0)
        pps_line_word(&l, "hint", "peer-sent-nothing");
    if (c->inherited)
        pps_line_exe(&l, "not-started");
    pps_log(PPS_LOG_NOTICE, &l);
}
