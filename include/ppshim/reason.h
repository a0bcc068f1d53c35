/* SPDX-License-Identifier: MIT
 *
 * reason.h: why a connection was rejected or a header is invalid. The one table of reasons: parser, admission, log,
 * tests and documentation all read it here.
 */
#ifndef PPSHIM_REASON_H
#define PPSHIM_REASON_H

/* X(constant, word in the log, what it means) */
#define PPS_REASONS(X)                                                                                                 \
    X(NONE, "none", "nothing is wrong")                                                                                \
    /* the header's bytes: header.h */                                                                                 \
    X(NOT_A_HEADER, "not-a-header", "the first bytes cannot begin a PROXY header")                                     \
    X(V1_TOO_LONG, "v1-too-long", "no CRLF within 107 bytes")                                                          \
    X(V1_BAD_LINE, "v1-bad-line", "a lone CR or LF, a NUL, or text after the last field")                              \
    X(V1_BAD_PROTOCOL, "v1-bad-protocol", "not TCP4, TCP6 or UNKNOWN after PROXY")                                     \
    X(V1_BAD_SPACING, "v1-bad-spacing", "fields not separated by exactly one space")                                   \
    X(V1_BAD_ADDRESS, "v1-bad-address", "an address that is not one")                                                  \
    X(V1_FAMILY_MISMATCH, "v1-family-mismatch", "TCP4 with an IPv6 address or TCP6 with an IPv4 one")                  \
    X(V1_BAD_PORT, "v1-bad-port", "a port that is not 0 to 65535 without leading zeros")                               \
    X(V2_BAD_VERSION, "v2-bad-version", "version nibble is not 2")                                                     \
    X(V2_BAD_COMMAND, "v2-bad-command", "command is neither LOCAL nor PROXY")                                          \
    X(V2_BAD_FAMILY, "v2-bad-family", "address family or transport not defined by the spec")                           \
    X(V2_SHORT_BLOCK, "v2-short-block", "length smaller than the family's address block")                              \
    X(V2_TLV_OVERRUN, "v2-tlv-overrun", "a TLV runs past the end, or stray bytes follow the last")                     \
    X(V2_BAD_CRC, "v2-bad-crc", "CRC32C TLV of wrong length or value")                                                 \
    /* what the header says: admit.h */                                                                                \
    X(VERSION_REFUSED, "version-refused", "a header version that PPSHIM_VERSIONS leaves out")                          \
    X(SRC_UNSPECIFIED, "src-unspecified", "the client's address is 0.0.0.0 or ::")                                     \
    X(SRC_MULTICAST, "src-multicast", "the client's address is multicast")                                             \
    X(SRC_BROADCAST, "src-broadcast", "the client's address is 255.255.255.255")                                       \
    X(SRC_LOOPBACK, "src-loopback", "a loopback client claimed by a proxy on another host")                            \
    X(CLIENT_DENIED, "client-denied", "the client is in PPSHIM_CLIENT_DENY, or not in PPSHIM_CLIENT_ALLOW")            \
    X(CLIENT_RATE, "client-rate", "the client makes new connections faster than PPSHIM_CLIENT_RATE")                   \
    X(CLIENT_MAX, "client-max", "the client has as many connections open as PPSHIM_CLIENT_MAX")                        \
    X(CLIENT_NEEDS_INET6, "client-needs-inet6",                                                                        \
      "an IPv6 client on an AF_INET socket whose server reads 16-byte addresses: make it listen on [::]")              \
    /* what the connection did: admit.h */                                                                             \
    X(UNTRUSTED, "untrusted", "the peer is in no list and PPSHIM_UNTRUSTED=reject")                                    \
    X(TIMEOUT, "timeout", "no complete header within PPSHIM_TIMEOUT")                                                  \
    X(PEER_LEFT, "peer-left", "the peer closed or reset inside the header")                                            \
    X(HEADER_STUCK, "header-stuck", "the header cannot be taken whole: urgent data or a receive buffer too small")     \
    X(TOO_MANY_PENDING, "too-many-pending", "the oldest of more than PPSHIM_MAX_PENDING waiting connections")          \
    X(LISTENER_CLOSED, "listener-closed", "the server closed its listener before the header was complete")             \
    X(NO_ROOM, "no-room", "no descriptor or memory to wait for the header with")                                       \
    X(CANNOT_REMEMBER, "cannot-remember",                                                                              \
      "nowhere to keep the client's address: no memory, or, with PPSHIM_INHERITED, a socket that does not keep it")

enum pps_reason {
#define X(name, word, meaning) PPS_REASON_##name,
    PPS_REASONS(X)
#undef X
        PPS_REASON_COUNT
};

/* The word of the table; static storage. Any thread, any signal handler. */
const char *pps_reason_word(enum pps_reason r);
const char *pps_reason_meaning(enum pps_reason r);

#endif
