/* SPDX-License-Identifier: MIT
 *
 * header.h: PROXY protocol header, bytes to a verdict and back. "spec" is HAProxy's doc/proxy-protocol.txt.
 *
 * Pure: no I/O, no allocation, no errno, no state, and never a read past buf + len. Safe in signal handlers and in any
 * thread. What a header *says* (whether its address may be believed) is not judged here: see admit.h.
 */
#ifndef PPSHIM_HEADER_H
#define PPSHIM_HEADER_H

#include <ppshim/addr.h>
#include <ppshim/reason.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PPS_V1_MAX 107  /* spec 2.1: longest line, CRLF included */
#define PPS_V2_FIXED 16 /* spec 2.2: signature, version/command, family, length */
#define PPS_HEADER_MAX (16 + 65535)

enum pps_verdict {
    PPS_HEADER_COMPLETE, /* *out is filled; out->length bytes are the header, what follows is the client's */
    PPS_HEADER_NEED, /* a header may be beginning; *need is the least total length at which asking again makes sense */
    PPS_HEADER_INVALID, /* *reason says why; *out is untouched */
};

/* Bytes of the caller's buffer; valid as long as that is. */
struct pps_view {
    const uint8_t *at;
    size_t length;
};

struct pps_header {
    size_t length;        /* of the whole header: 15 to PPS_HEADER_MAX */
    uint8_t version;      /* 1 or 2 */
    bool local;           /* v2 LOCAL: the proxy speaks for itself (a health check) */
    bool has_client;      /* src and dst hold the client's TCP endpoints; else the peer is the real TCP peer:
                             v1 UNKNOWN, v2 LOCAL, and v2 PROXY with UNSPEC, AF_UNIX or DGRAM (spec 2.2) */
    struct pps_addr src;  /* the client */
    struct pps_addr dst;  /* what the client connected to */
    struct pps_view tlvs; /* v2 PROXY: the TLV area, known to be well formed; empty if family UNSPEC's block is none.
                             v2 LOCAL: all after byte 16, not checked. v1: empty */
};

/*
 * Looks at the first `len` bytes received. Every proper prefix of a valid header answers NEED with len < *need; a
 * prefix is INVALID as soon as no further byte could make it valid, except that a v2 header is judged at 16 bytes and
 * then when it is whole. `need` for v1 (which cannot know its length) is len + 1; for v2, 16 and then the header's
 * length. len 0 answers NEED 1. PPS_REASON_NOT_A_HEADER is the only reason of bytes that begin neither "PROXY " nor the
 * v2 signature. All pointers must be valid; *need is written on NEED only, *reason on INVALID only, *out on COMPLETE
 * only.
 */
enum pps_verdict pps_header_parse(const uint8_t *buf, size_t len, struct pps_header *out, size_t *need,
                                  enum pps_reason *reason);

/* TLV types, spec 2.2.1 onwards and the registry of its appendix; others by their vendors' documents (header_tlv.h). */
enum pps_tlv_type {
    PPS_TLV_ALPN = 0x01,
    PPS_TLV_AUTHORITY = 0x02, /* SNI */
    PPS_TLV_CRC32C = 0x03,
    PPS_TLV_NOOP = 0x04,
    PPS_TLV_UNIQUE_ID = 0x05,
    PPS_TLV_SSL = 0x20,
    PPS_TLV_SSL_VERSION = 0x21,
    PPS_TLV_SSL_CN = 0x22,
    PPS_TLV_SSL_CIPHER = 0x23,
    PPS_TLV_SSL_SIG_ALG = 0x24,
    PPS_TLV_SSL_KEY_ALG = 0x25,
    PPS_TLV_SSL_GROUP = 0x26,
    PPS_TLV_SSL_SIG_SCHEME = 0x27,
    PPS_TLV_SSL_CLIENT_CERT = 0x28,
    PPS_TLV_NETNS = 0x30,
    PPS_TLV_ZTUNNEL = 0xD0, /* Istio's */
    PPS_TLV_GCP = 0xE0,     /* and Linkerd's */
    PPS_TLV_AWS = 0xEA,
    PPS_TLV_AZURE = 0xEE,
};

struct pps_tlv {
    uint8_t type;
    struct pps_view value;
};

/* Takes the first TLV off *rest. false: none is left, or what is left is not one (rest->length > 0 then). */
bool pps_tlv_next(struct pps_view *rest, struct pps_tlv *out);

/* The SSL TLV, spec 2.2.6, decoded into views of the input; absent fields have at == NULL. */
struct pps_ssl {
    uint8_t client;  /* bit 0 SSL, bit 1 cert on this connection, bit 2 cert in this session */
    uint32_t verify; /* 0: the client's certificate was verified */
    struct pps_view version, cn, cipher, sig_alg, key_alg, group, sig_scheme, client_cert;
};
/* `value` is an SSL TLV's value. false: shorter than 5 bytes or its sub-TLVs are malformed; *out is then untouched. */
bool pps_ssl_decode(struct pps_view value, struct pps_ssl *out);

/* CRC-32C (Castagnoli), RFC 3720 appendix B.4. Start with crc = 0; feed the result of one piece into the next. */
uint32_t pps_crc32c(uint32_t crc, const void *data, size_t len);

/*
 * The builder. Everything a sender may say, valid or not where that is what a test wants: the caller's bytes are taken
 * as they are.
 */
enum pps_family_byte { /* spec 2.2: family and transport */
                       PPS_FAM_UNSPEC = 0x00,
                       PPS_FAM_TCP4 = 0x11,
                       PPS_FAM_UDP4 = 0x12,
                       PPS_FAM_TCP6 = 0x21,
                       PPS_FAM_UDP6 = 0x22,
                       PPS_FAM_UNIX_STREAM = 0x31,
                       PPS_FAM_UNIX_DGRAM = 0x32,
};

/* v1: "PROXY TCP4 ..." or TCP6 by src's family (dst must be of the same), or with src NULL "PROXY UNKNOWN".
   Returns the length, or 0 when `size` is too small or the families differ. No NUL is written. */
size_t pps_header_build_v1(uint8_t *out, size_t size, const struct pps_addr *src, const struct pps_addr *dst);

struct pps_builder {
    uint8_t *out;
    size_t size;
    size_t length; /* so far */
    bool failed;   /* something did not fit or the order was wrong; sticky */
};

/* v2: begin, then TLVs, then end. begin with src NULL writes no address block: family is UNSPEC, and LOCAL if `local`.
   With src the family is TCP4 or TCP6 by its kind; a v4 and a v6 endpoint together are written as TCP6 with the v4 one
   mapped. */
void pps_build_v2_begin(struct pps_builder *b, uint8_t *out, size_t size, bool local, const struct pps_addr *src,
                        const struct pps_addr *dst);
void pps_build_v2_tlv(struct pps_builder *b, uint8_t type, const void *value, size_t length);
/* The SSL TLV with its sub-TLVs; views with at == NULL are left out. */
void pps_build_v2_ssl(struct pps_builder *b, const struct pps_ssl *ssl);
/* Fills in the length; with `crc` appends a CRC32C TLV over the whole header. Returns the header's length, 0 if
   anything failed. */
size_t pps_build_v2_end(struct pps_builder *b, bool crc);

#endif
