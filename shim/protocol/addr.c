/* SPDX-License-Identifier: MIT
 *
 * addr.c: see addr.h. Owns every conversion between an endpoint, a sockaddr and text.
 *
 * Must never call inet_ntop or printf: they may set errno or read the locale, and neither is promised to be safe in a
 * signal handler.
 */
#include <netinet/in.h>
#include <ppshim/addr.h>
#include <string.h>

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct pps_addr pps_addr_v4(const uint8_t ip[4], uint16_t port)
{
    struct pps_addr a = {.port = port};

    memcpy(a.ip, v4_prefix, sizeof v4_prefix);
    memcpy(a.ip + sizeof v4_prefix, ip, 4);
    return a;
}

struct pps_addr pps_addr_v6(const uint8_t ip[16], uint16_t port)
{
    struct pps_addr a = {.port = port};

    memcpy(a.ip, ip, sizeof a.ip);
    return a;
}

/* Copies, because `sa` may point into a caller's buffer of any alignment. */
bool pps_addr_from_sockaddr(struct pps_addr *out, const struct sockaddr *sa, socklen_t len)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    sa_family_t family;

    if (len < sizeof family)
        return false;
    memcpy(&family, sa, sizeof family); /* its first member */
    if (family == AF_INET && len >= sizeof in) {
        memcpy(&in, sa, sizeof in);
        *out = pps_addr_v4((const uint8_t *)&in.sin_addr, ntohs(in.sin_port));
        return true;
    }
    if (family == AF_INET6 && len >= sizeof in6) {
        memcpy(&in6, sa, sizeof in6);
        *out = pps_addr_v6(in6.sin6_addr.s6_addr, ntohs(in6.sin6_port));
        return true;
    }
    return false;
}

socklen_t pps_addr_to_sockaddr(const struct pps_addr *a, sa_family_t family, struct sockaddr_storage *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};

    if (family == AF_INET && pps_addr_is_v4(a)) {
        memcpy(&in.sin_addr, a->ip + sizeof v4_prefix, sizeof in.sin_addr);
        memcpy(out, &in, sizeof in);
        return sizeof in;
    }
    memcpy(&in6.sin6_addr, a->ip, sizeof in6.sin6_addr);
    memcpy(out, &in6, sizeof in6);
    return sizeof in6;
}

bool pps_addr_is_v4(const struct pps_addr *a)
{
    return memcmp(a->ip, v4_prefix, sizeof v4_prefix) == 0;
}

bool pps_addr_is_unspecified(const struct pps_addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->ip, zero, 16) == 0 || (pps_addr_is_v4(a) && memcmp(a->ip + 12, zero, 4) == 0);
}

bool pps_addr_is_loopback(const struct pps_addr *a)
{
    static const uint8_t one[16] = {[15] = 1};

    return memcmp(a->ip, one, 16) == 0 || (pps_addr_is_v4(a) && a->ip[12] == 127);
}

bool pps_addr_is_multicast(const struct pps_addr *a)
{
    return a->ip[0] == 0xff || (pps_addr_is_v4(a) && a->ip[12] >> 4 == 14);
}

bool pps_addr_is_broadcast(const struct pps_addr *a)
{
    static const uint8_t ones[4] = {255, 255, 255, 255};

    return pps_addr_is_v4(a) && memcmp(a->ip + 12, ones, 4) == 0;
}

static char *put_number(char *p, unsigned value, unsigned base)
{
    char digits[5];
    size_t n = 0;

    do
        digits[n++] = "0123456789abcdef"[value % base];
    while ((value /= base) > 0);
    while (n > 0)
        *p++ = digits[--n];
    return p;
}

static unsigned group_of(const uint8_t ip[16], size_t index)
{
    return (unsigned)ip[2 * index] << 8 | ip[2 * index + 1];
}

/* RFC 5952 section 4.2: "::" stands for the longest run of zero groups, the first of equals, never for one alone. */
static unsigned longest_zero_run(const uint8_t ip[16], unsigned *groups)
{
    unsigned best = 8, start = 0;

    *groups = 1;
    for (unsigned i = 0; i < 8; i++) {
        if (group_of(ip, i) != 0) {
            start = i + 1;
        } else if (i + 1 - start > *groups) {
            best = start;
            *groups = i + 1 - start;
        }
    }
    return best;
}

static char *put_ipv6(char *p, const uint8_t ip[16])
{
    unsigned zeros, gap = longest_zero_run(ip, &zeros);

    for (unsigned i = 0; i < 8; i++) {
        if (i == gap) {
            *p++ = ':';
            *p++ = ':';
            i += zeros - 1;
            continue;
        }
        if (i > 0 && i != gap + zeros)
            *p++ = ':';
        p = put_number(p, group_of(ip, i), 16);
    }
    return p;
}

static char *put_ipv4(char *p, const uint8_t ip[4])
{
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            *p++ = '.';
        p = put_number(p, ip[i], 10);
    }
    return p;
}

const char *pps_addr_text(const struct pps_addr *a, char text[PPS_ADDR_TEXT])
{
    char *p = text;

    if (pps_addr_is_v4(a)) {
        p = put_ipv4(p, a->ip + sizeof v4_prefix);
    } else {
        *p++ = '[';
        p = put_ipv6(p, a->ip);
        *p++ = ']';
    }
    *p++ = ':';
    p = put_number(p, a->port, 10);
    *p = '\0';
    return text;
}
