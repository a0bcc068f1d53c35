/* SPDX-License-Identifier: MIT
 *
 * header_tlv.h: what the TLVs of a version 2 header say of the client and its connection, by the words under which an
 * operator meets it: the keys of a log line (ssl=), and what lists of clients take (vpce:).
 *
 * Types by the registry of the spec's section 2.2, and by their vendors' documents: AWS "Proxy protocol" of Network
 * Load Balancers, Azure "Private Link service overview", Google "About published services", ztunnel's
 * write_proxy_protocol, Linkerd's proxy pull request 4625.
 *
 * Pure, as header.h: safe in signal handlers and in any thread. Views are of the header's bytes, and not escaped.
 */
#ifndef PPSHIM_HEADER_TLV_H
#define PPSHIM_HEADER_TLV_H

#include <ppshim/header.h>

/* X(constant, word, whether it is a number), in the order of what matters most */
#define PPS_FACTS(X)                                                                                                   \
    X(CN, "cn", false)                       /* of a client certificate that the balancer verified */                  \
    X(CN_UNVERIFIED, "cn-unverified", false) /* anybody can claim it */                                                \
    X(VPCE, "vpce", false)                   /* AWS: the endpoint's id, vpce-... */                                    \
    X(AZURE_LINK, "azure-link", true)        /* Azure: the private endpoint's LINKID */                                \
    X(PSC, "psc", true)                      /* Google: pscConnectionId */                                             \
    X(SPIFFE, "spiffe", false)               /* the workload, as ztunnel and Linkerd name it */                        \
    X(SNI, "sni", false)                                                                                               \
    X(SSL, "ssl", false) /* the version of TLS */                                                                      \
    X(CIPHER, "cipher", false)                                                                                         \
    X(ALPN, "alpn", false)                                                                                             \
    X(UNIQUE_ID, "unique-id", false)                                                                                   \
    X(NETNS, "netns", false)

enum pps_fact_kind {
#define X(name, word, is_number) PPS_FACT_##name,
    PPS_FACTS(X)
#undef X
        PPS_FACT_COUNT
};

struct pps_fact {
    struct pps_view bytes; /* as sent; at is NULL: it was not said */
    uint64_t number;       /* if it is one */
};

struct pps_facts {
    struct pps_fact of[PPS_FACT_COUNT];
};

const char *pps_fact_word(enum pps_fact_kind kind); /* static storage */
bool pps_fact_is_number(enum pps_fact_kind kind);

/* Of what is said twice the first counts. A LOCAL header's are the balancer's own. */
void pps_facts_read(const struct pps_header *h, struct pps_facts *out);

/* What one TLV says; false: it has no word here, is malformed, or is the SSL TLV, which says several things. */
bool pps_tlv_fact(const struct pps_tlv *tlv, enum pps_fact_kind *kind, struct pps_fact *out);

/* Whether there was a client certificate, and the balancer vouches for it (spec 2.2.6). */
bool pps_ssl_is_verified(const struct pps_ssl *ssl);

#endif
