/* SPDX-License-Identifier: MIT
 *
 * header_v1.c: the text line of spec 2.1. Owns the order of its fields and what stands between them.
 *
 * Reads from left to right and stops at the first wrong byte, so an impossible line is refused as early as it can be,
 * whether it came at once or in pieces, and a possible one never is. The reason is the best name for the bytes so far.
 *
 * After UNKNOWN the spec lets anything stand before the CRLF. A lone CR or LF there is refused all the same: a sender
 * that ended its line so would lose the client's first bytes to our search for a CRLF. So is NUL: the line is text.
 *
 * Must never judge the inside of a field: header_v1_fields.c does.
 */
#include "header_internal.h"
#include <string.h>

static const struct protocol {
    const char *word;
    pps_scanner *address, *other_family;
} protocols[] = {
    {"TCP4", pps_scan_ipv4, pps_scan_ipv6},
    {"TCP6", pps_scan_ipv6, pps_scan_ipv4},
    {"UNKNOWN", NULL, NULL},
};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)

/* The line as it is read from left to right. Its steps answer as pps_header_parse does. */
struct line {
    const uint8_t *at;      /* the first byte not read yet */
    const uint8_t *end;     /* of what has arrived, within PPS_V1_MAX */
    size_t lacks;           /* with NEED: the fewest bytes that could still end the line */
    enum pps_reason reason; /* with INVALID */
};

static enum pps_verdict incomplete(struct line *l, size_t lacks)
{
    l->lacks = lacks;
    return PPS_HEADER_NEED;
}

static enum pps_verdict refuse(struct line *l, enum pps_reason reason)
{
    l->reason = reason;
    return PPS_HEADER_INVALID;
}

/* For a byte that ends a field, where it must not stand. */
static enum pps_verdict refuse_byte(struct line *l, uint8_t byte)
{
    bool spacing = byte == ' ' || byte == '\t';

    return refuse(l, spacing ? PPS_REASON_V1_BAD_SPACING : PPS_REASON_V1_BAD_LINE);
}

static bool breaks_line(uint8_t byte)
{
    return byte == '\r' || byte == '\n' || byte == '\0';
}

static const uint8_t *field_end(const struct line *l)
{
    const uint8_t *p = l->at;

    while (p < l->end && *p != ' ' && *p != '\t' && !breaks_line(*p))
        p++;
    return p;
}

static enum pps_verdict read_space(struct line *l)
{
    if (*l->at != ' ')
        return refuse_byte(l, *l->at);
    l->at++;
    return PPS_HEADER_COMPLETE;
}

static enum pps_verdict read_line_end(struct line *l)
{
    size_t here = (size_t)(l->end - l->at);

    if (here == 0)
        return incomplete(l, 2);
    if (l->at[0] != '\r' || (here > 1 && l->at[1] != '\n'))
        return refuse(l, PPS_REASON_V1_BAD_LINE);
    if (here == 1)
        return incomplete(l, 1);
    l->at += 2;
    return PPS_HEADER_COMPLETE;
}

static enum pps_verdict read_protocol(struct line *l, const struct protocol **out)
{
    const uint8_t *end = field_end(l);
    size_t length = (size_t)(end - l->at);

    if (length == 0 && end < l->end)
        return refuse_byte(l, *end);
    for (size_t i = 0; i < PROTOCOLS; i++) {
        size_t whole = strlen(protocols[i].word);
        if (length > whole || memcmp(l->at, protocols[i].word, length) != 0)
            continue;
        if (end == l->end)
            return incomplete(l, 1); /* exact only near PPS_V1_MAX */
        if (length == whole) {
            *out = &protocols[i];
            l->at = end;
            return PPS_HEADER_COMPLETE;
        }
    }
    return refuse(l, PPS_REASON_V1_BAD_PROTOCOL);
}

/* `tail`: the shortest text that can follow the field. */
static enum pps_verdict read_field(struct line *l, pps_scanner *scan, struct pps_addr *out, const char *tail,
                                   enum pps_reason bad)
{
    const uint8_t *end = field_end(l);
    int lacks;

    if (end == l->at && end < l->end)
        return refuse_byte(l, *end);
    lacks = scan(l->at, (size_t)(end - l->at), out);
    if (lacks == PPS_IMPOSSIBLE || (lacks > 0 && end < l->end))
        return refuse(l, bad);
    if (end == l->end)
        return incomplete(l, (size_t)lacks + strlen(tail));
    l->at = end;
    return PPS_HEADER_COMPLETE;
}

static enum pps_verdict read_port(struct line *l, struct pps_addr *out, const char *tail)
{
    return read_field(l, pps_scan_port, out, tail, PPS_REASON_V1_BAD_PORT);
}

static enum pps_verdict read_address(struct line *l, const struct protocol *protocol, struct pps_addr *out,
                                     const char *tail)
{
    enum pps_verdict v = read_field(l, protocol->address, out, tail, PPS_REASON_V1_BAD_ADDRESS);
    struct pps_addr other = {0};

    if (v == PPS_HEADER_INVALID && l->reason == PPS_REASON_V1_BAD_ADDRESS &&
        protocol->other_family(l->at, (size_t)(field_end(l) - l->at), &other) == 0)
        l->reason = PPS_REASON_V1_FAMILY_MISMATCH;
    return v;
}

static enum pps_verdict read_endpoints(struct line *l, const struct protocol *protocol, struct pps_addr *src,
                                       struct pps_addr *dst)
{
    const struct {
        struct pps_addr *out;
        bool is_port;
        const char *tail;
    } fields[] = {
        {src, false, " :: 0 0\r\n"},
        {dst, false, " 0 0\r\n"},
        {src, true, " 0\r\n"},
        {dst, true, "\r\n"},
    };

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        enum pps_verdict v = read_space(l);
        if (v == PPS_HEADER_COMPLETE)
            v = fields[i].is_port ? read_port(l, fields[i].out, fields[i].tail)
                                  : read_address(l, protocol, fields[i].out, fields[i].tail);
        if (v != PPS_HEADER_COMPLETE)
            return v;
    }
    return read_line_end(l);
}

static enum pps_verdict read_unknown(struct line *l)
{
    if (*l->at == '\t')
        return refuse_byte(l, *l->at);
    while (l->at < l->end && !breaks_line(*l->at))
        l->at++;
    return read_line_end(l);
}

static enum pps_verdict read_line(struct line *l, struct pps_header *h)
{
    const struct protocol *protocol = NULL;
    enum pps_verdict v = read_protocol(l, &protocol);

    if (v != PPS_HEADER_COMPLETE)
        return v;
    if (!protocol->address)
        return read_unknown(l);
    h->has_client = true;
    return read_endpoints(l, protocol, &h->src, &h->dst);
}

enum pps_verdict pps_header_parse_v1(const uint8_t *buf, size_t len, struct pps_header *out, size_t *need,
                                     enum pps_reason *reason)
{
    size_t here = len < PPS_V1_MAX ? len : PPS_V1_MAX;
    struct line l = {.at = buf + PPS_V1_PREFIX_LENGTH, .end = buf + here};
    struct pps_header h = {.version = 1};
    enum pps_verdict v = read_line(&l, &h);

    if (v == PPS_HEADER_NEED && here + l.lacks > PPS_V1_MAX)
        v = refuse(&l, PPS_REASON_V1_TOO_LONG);
    if (v == PPS_HEADER_NEED) {
        *need = len + 1;
    } else if (v == PPS_HEADER_INVALID) {
        *reason = l.reason;
    } else {
        h.length = (size_t)(l.at - buf);
        *out = h;
    }
    return v;
}
