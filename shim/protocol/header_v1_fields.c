/* SPDX-License-Identifier: MIT
 *
 * header_v1_fields.c: addresses and ports as spec 2.1 writes them. Owns what may stand inside a field.
 *
 * A field may still be arriving, so a scanner is given the part of it that is here and answers how many bytes it lacks
 * at least: 0 when it is whole, PPS_IMPOSSIBLE when nothing can complete it.
 *
 * Must never use libc's parsers of numbers or addresses: they take leading zeros, signs and zones, and set errno.
 */
#include "header_internal.h"
#include <string.h>

static const uint8_t *find(const uint8_t *text, size_t length, char byte)
{
    const uint8_t *found = memchr(text, byte, length);

    return found ? found : text + length;
}

static int scan_decimal(const uint8_t *text, size_t length, unsigned max, unsigned *out)
{
    unsigned value = 0;

    for (size_t i = 0; i < length; i++) {
        bool leading_zero = i > 0 && value == 0;
        if (text[i] < '0' || text[i] > '9' || leading_zero)
            return PPS_IMPOSSIBLE;
        value = value * 10 + (text[i] - '0');
        if (value > max)
            return PPS_IMPOSSIBLE;
    }
    *out = value;
    return length == 0 ? 1 : 0;
}

int pps_scan_port(const uint8_t *text, size_t length, struct pps_addr *out)
{
    unsigned port;
    int lacks = scan_decimal(text, length, 65535, &port);

    if (lacks == 0)
        out->port = (uint16_t)port;
    return lacks;
}

static int scan_octets(const uint8_t *text, size_t length, uint8_t ip[4])
{
    const uint8_t *end = text + length;

    for (int i = 0;; i++) {
        const uint8_t *dot = find(text, (size_t)(end - text), '.');
        unsigned octet = 0;
        int lacks = scan_decimal(text, (size_t)(dot - text), 255, &octet);
        bool dot_is_wrong = dot < end && (lacks != 0 || i == 3);
        if (lacks == PPS_IMPOSSIBLE || dot_is_wrong)
            return PPS_IMPOSSIBLE;
        ip[i] = (uint8_t)octet;
        if (dot == end)
            return lacks + 2 * (3 - i);
        text = dot + 1;
    }
}

int pps_scan_ipv4(const uint8_t *text, size_t length, struct pps_addr *out)
{
    uint8_t ip[4];
    int lacks = scan_octets(text, length, ip);

    if (lacks == 0)
        *out = pps_addr_v4(ip, out->port);
    return lacks;
}

/* RFC 4291 section 2.2, without zones: the bytes read so far, and where among them "::" stands. */
struct ipv6 {
    uint8_t ip[16];
    size_t filled;
    size_t gap;
};
#define NO_GAP 16

/* "::" stands for one group at least. */
static bool has_room(const struct ipv6 *a, size_t bytes)
{
    return a->filled + bytes <= (a->gap == NO_GAP ? 16 : 14);
}

static bool scan_group(struct ipv6 *a, const uint8_t *text, size_t length)
{
    unsigned value = 0;

    if (length > 4 || !has_room(a, 2))
        return false;
    for (size_t i = 0; i < length; i++) {
        uint8_t lower = text[i] | 0x20;
        if (text[i] >= '0' && text[i] <= '9')
            value = value << 4 | (unsigned)(text[i] - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value << 4 | (unsigned)(lower - 'a' + 10);
        else
            return false;
    }
    pps_put_u16(a->ip + a->filled, (uint16_t)value);
    a->filled += 2;
    return true;
}

/* The last four bytes written as an IPv4 address. */
static int scan_dotted_tail(struct ipv6 *a, const uint8_t *text, size_t length)
{
    bool too_early = a->gap == NO_GAP && a->filled < 12;
    int lacks;

    if (too_early || !has_room(a, 4))
        return PPS_IMPOSSIBLE;
    lacks = scan_octets(text, length, a->ip + a->filled);
    if (lacks == 0)
        a->filled += 4;
    return lacks;
}

static int scan_groups(struct ipv6 *a, const uint8_t *p, const uint8_t *end)
{
    bool after_colon = false;

    if (p < end && *p == ':') { /* only as the first half of "::" */
        after_colon = true;
        if (++p < end && *p != ':')
            return PPS_IMPOSSIBLE;
    }
    while (p < end) {
        if (*p == ':') {
            if (a->gap != NO_GAP)
                return PPS_IMPOSSIBLE;
            a->gap = a->filled;
            after_colon = false;
            p++;
            continue;
        }
        const uint8_t *colon = find(p, (size_t)(end - p), ':');
        if (memchr(p, '.', (size_t)(colon - p)))
            return scan_dotted_tail(a, p, (size_t)(end - p));
        after_colon = colon < end;
        if (!scan_group(a, p, (size_t)(colon - p)) || (after_colon && !has_room(a, 2)))
            return PPS_IMPOSSIBLE;
        p = colon + after_colon;
    }
    if (after_colon)
        return 1;
    return a->filled == 16 || a->gap != NO_GAP ? 0 : (int)strlen("::");
}

int pps_scan_ipv6(const uint8_t *text, size_t length, struct pps_addr *out)
{
    struct ipv6 a = {.gap = NO_GAP};
    uint8_t ip[16] = {0};
    int lacks = scan_groups(&a, text, text + length);

    if (lacks == 0) {
        size_t before = a.gap == NO_GAP ? 16 : a.gap, after = a.filled - before;
        memcpy(ip, a.ip, before);
        memcpy(ip + 16 - after, a.ip + before, after);
        *out = pps_addr_v6(ip, out->port);
    }
    return lacks;
}
