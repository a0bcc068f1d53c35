/* SPDX-License-Identifier: MIT
 *
 * header_tlv.c: TLVs to facts (header_tlv.h). Owns what a vendor puts into a value; header_v2.c owns the frame.
 */
#include "header_internal.h"
#include <ppshim/header_tlv.h>

/* spec 2.2.6 */
#define CLIENT_SSL 0x01
#define CLIENT_CERT 0x06 /* on this connection, in this session */

#define SUBTYPE_AWS_VPCE 0x01
#define SUBTYPE_AZURE_LINK 0x01
#define AZURE_LENGTH 5
#define GCP_LENGTH 8

static const struct {
    const char *word;
    bool is_number;
} facts[PPS_FACT_COUNT] = {
#define X(name, word, is_number) [PPS_FACT_##name] = {word, is_number},
    PPS_FACTS(X)
#undef X
};

const char *pps_fact_word(enum pps_fact_kind kind)
{
    return facts[kind].word;
}

bool pps_fact_is_number(enum pps_fact_kind kind)
{
    return facts[kind].is_number;
}

/* --- one TLV --- */

static bool is_text(struct pps_view v)
{
    for (size_t i = 0; i < v.length; i++)
        if (v.at[i] <= ' ' || v.at[i] >= 0x7f)
            return false;
    return v.length;
}

static uint32_t get_u32_low_byte_first(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Two vendors took the same type: eight bytes are Google's number, any other text is a name. */
static bool read_gcp_or_linkerd(struct pps_view v, enum pps_fact_kind *kind, struct pps_fact *out)
{
    *kind = v.length == GCP_LENGTH ? PPS_FACT_PSC : PPS_FACT_SPIFFE;
    *out = (struct pps_fact){.bytes = v};
    if (*kind == PPS_FACT_PSC)
        out->number = (uint64_t)pps_get_u32(v.at) << 32 | pps_get_u32(v.at + 4);
    return *kind == PPS_FACT_PSC || is_text(v);
}

static bool read_aws(struct pps_view v, enum pps_fact_kind *kind, struct pps_fact *out)
{
    if (v.length < 2 || v.at[0] != SUBTYPE_AWS_VPCE)
        return false;
    *kind = PPS_FACT_VPCE;
    *out = (struct pps_fact){.bytes = {v.at + 1, v.length - 1}};
    return true;
}

static bool read_azure(struct pps_view v, enum pps_fact_kind *kind, struct pps_fact *out)
{
    if (v.length != AZURE_LENGTH || v.at[0] != SUBTYPE_AZURE_LINK)
        return false;
    *kind = PPS_FACT_AZURE_LINK;
    *out = (struct pps_fact){.bytes = {v.at + 1, v.length - 1}, .number = get_u32_low_byte_first(v.at + 1)};
    return true;
}

static bool read_bytes(struct pps_view v, enum pps_fact_kind is, enum pps_fact_kind *kind, struct pps_fact *out)
{
    *kind = is;
    *out = (struct pps_fact){.bytes = v};
    return true;
}

bool pps_tlv_fact(const struct pps_tlv *tlv, enum pps_fact_kind *kind, struct pps_fact *out)
{
    switch (tlv->type) {
    case PPS_TLV_ALPN:
        return read_bytes(tlv->value, PPS_FACT_ALPN, kind, out);
    case PPS_TLV_AUTHORITY:
        return read_bytes(tlv->value, PPS_FACT_SNI, kind, out);
    case PPS_TLV_UNIQUE_ID:
        return read_bytes(tlv->value, PPS_FACT_UNIQUE_ID, kind, out);
    case PPS_TLV_NETNS:
        return read_bytes(tlv->value, PPS_FACT_NETNS, kind, out);
    case PPS_TLV_ZTUNNEL:
        return read_bytes(tlv->value, PPS_FACT_SPIFFE, kind, out);
    case PPS_TLV_GCP:
        return read_gcp_or_linkerd(tlv->value, kind, out);
    case PPS_TLV_AWS:
        return read_aws(tlv->value, kind, out);
    case PPS_TLV_AZURE:
        return read_azure(tlv->value, kind, out);
    default:
        return false;
    }
}

/* --- all of them --- */

bool pps_ssl_is_verified(const struct pps_ssl *ssl)
{
    return ssl->client & CLIENT_SSL && ssl->client & CLIENT_CERT && ssl->verify == 0;
}

static void keep_first(struct pps_facts *f, enum pps_fact_kind kind, struct pps_fact fact)
{
    if (!f->of[kind].bytes.at)
        f->of[kind] = fact;
}

static void keep_view(struct pps_facts *f, enum pps_fact_kind kind, struct pps_view v)
{
    if (v.at)
        keep_first(f, kind, (struct pps_fact){.bytes = v});
}

/* The first SSL TLV only: a second must not vouch for a name of its own. */
static void read_ssl(struct pps_view value, struct pps_facts *f)
{
    struct pps_ssl ssl;
    if (!pps_ssl_decode(value, &ssl))
        return;
    keep_view(f, PPS_FACT_SSL, ssl.version);
    keep_view(f, PPS_FACT_CIPHER, ssl.cipher);
    keep_view(f, pps_ssl_is_verified(&ssl) ? PPS_FACT_CN : PPS_FACT_CN_UNVERIFIED, ssl.cn);
}

void pps_facts_read(const struct pps_header *h, struct pps_facts *out)
{
    struct pps_view rest = h->tlvs;
    struct pps_tlv tlv;
    enum pps_fact_kind kind;
    struct pps_fact fact;
    bool seen_ssl = false;
    *out = (struct pps_facts){0};
    while (pps_tlv_next(&rest, &tlv)) {
        if (tlv.type == PPS_TLV_SSL && !seen_ssl)
            read_ssl(tlv.value, out);
        else if (pps_tlv_fact(&tlv, &kind, &fact))
            keep_first(out, kind, fact);
        seen_ssl |= tlv.type == PPS_TLV_SSL;
    }
}
