/* SPDX-License-Identifier: MIT
 *
 * header_options.h: the options that describe a PROXY header, shared by the verbs header and connect.
 */
#ifndef PPSHIM_TOOL_HEADER_OPTIONS_H
#define PPSHIM_TOOL_HEADER_OPTIONS_H

#include <ppshim/header.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(constant, name, argument, meaning) */
#define TOOL_HEADER_OPTIONS(X)                                                                                         \
    X(FROM, "from", "ADDR[:PORT]", "the client: 203.0.113.7, [2001:db8::7]:4711 (port 50000)")                         \
    X(TO, "to", "ADDR[:PORT]", "where it connected to (port 443)")                                                     \
    X(V1, "v1", NULL, "version 1, a line of text")                                                                     \
    X(V2, "v2", NULL, "version 2, binary (the default)")                                                               \
    X(LOCAL, "local", NULL, "the proxy's own connection, a health check (v2 LOCAL)")                                   \
    X(UNKNOWN, "unknown", NULL, "a client of no address (v1 UNKNOWN, v2 UNSPEC)")                                      \
    X(SSL, "ssl", NULL, "the client came by TLS")                                                                      \
    X(CN, "cn", "NAME", "with a verified certificate of this common name")                                             \
    X(SSL_VERSION, "ssl-version", "TEXT", "the TLS version (TLSv1.3)")                                                 \
    X(CIPHER, "cipher", "TEXT", "the TLS cipher")                                                                      \
    X(SNI, "sni", "NAME", "the host name it asked for (authority)")                                                    \
    X(ALPN, "alpn", "PROTOCOL", "the protocol it agreed on: h2, http/1.1")                                             \
    X(UNIQUE_ID, "unique-id", "TEXT", "the connection's id, 128 bytes at most")                                        \
    X(TLV, "tlv", "TYPE=HEX", "any other TLV: 0xE0=0011aaff; may be repeated")                                         \
    X(CRC, "crc", NULL, "with a CRC32C checksum")

enum tool_header_option {
#define X(constant, name, argument, meaning) TOOL_HEADER_##constant,
    TOOL_HEADER_OPTIONS(X)
#undef X
        TOOL_HEADER_OPTION_COUNT
};

/* The rows of a struct tool_option table; the verb's own may follow. */
#define TOOL_HEADER_OPTION_ROW(constant, name, argument, meaning) {name, argument, meaning},
#define TOOL_HEADER_OPTION_ROWS TOOL_HEADER_OPTIONS(TOOL_HEADER_OPTION_ROW)

#define TOOL_TLVS_MAX 64

struct tool_header {
    const char *verb;                            /* for the error lines; the rest begins as zero */
    const char *value[TOOL_HEADER_OPTION_COUNT]; /* NULL: not given; "" for those without an argument */
    const char *tlvs[TOOL_TLVS_MAX];
    size_t tlv_count;
};

/* Notes one option. false: told on stderr. */
bool tool_header_note(struct tool_header *h, int option, const char *value);

/* The header that the options describe, by the library's own builder; valid by the library's own parser. Returns its
   length; 0: they make no sense together or do not fit, told on stderr. */
size_t tool_header_build(const struct tool_header *h, uint8_t *out, size_t size);

#endif
