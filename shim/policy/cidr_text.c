/* SPDX-License-Identifier: MIT
 *
 * cidr_text.c: an operator's entry to a network, or to what is wrong with it (cidr.h, cidr_internal.h).
 *
 * Owns how an entry is written and the texts of its errors. Must never know a set or allocate: it runs where cidr.c
 * does. No state: any thread, signal handlers, nothing to do at fork.
 */
#include "../protocol/header_internal.h"
#include "cidr_internal.h"
#include "text.h"
#include <ppshim/cidr.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct entry {
    struct pps_text whole;         /* as written */
    struct pps_text address, bits; /* before and after the slash; bits.at is NULL without one */
    bool takes_out;
    bool dotted; /* written as IPv4 */
    struct pps_addr ip;
    unsigned prefix; /* as in pps_cidr_entry */
    char *why;
    size_t why_size;
};

/* --- what a good entry is --- */

/* What precedes the first `c` of *rest, which keeps what follows it. Without one: all, and *rest is at NULL. */
static struct pps_text cut(struct pps_text *rest, char c)
{
    const char *found = memchr(rest->at, c, rest->length);
    struct pps_text before = {rest->at, found ? (size_t)(found - rest->at) : rest->length};
    *rest = found ? (struct pps_text){found + 1, rest->length - before.length - 1} : (struct pps_text){NULL, 0};
    return before;
}

/* At most three digits, no leading zero, no sign. */
static bool read_number(struct pps_text t, unsigned most, unsigned *n)
{
    if (t.length < 1 || t.length > 3 || (t.length > 1 && *t.at == '0'))
        return false;
    *n = 0;
    for (size_t i = 0; i < t.length; i++) {
        if (!pps_text_is_digit(t.at[i]))
            return false;
        *n = *n * 10 + (unsigned)(t.at[i] - '0');
    }
    return *n <= most;
}

static struct pps_addr network_of(struct pps_addr a, unsigned prefix)
{
    unsigned whole = prefix / 8, rest = prefix % 8;
    if (rest)
        a.ip[whole++] &= (uint8_t)(0xff00 >> rest);
    memset(a.ip + whole, 0, sizeof a.ip - whole);
    return a;
}

/* --- what is wrong with a bad one --- */

const char *pps_cidr_quote(char *out, size_t size, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0, fits = 0; /* fits: the last place that leaves room for the dots */
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= ' ' && c < 0x7f && c != '\\';
        if (n + (plain ? 1 : 4) >= size) {
            memcpy(out + fits, "...", 4);
            return out;
        }
        if (plain) {
            out[n++] = (char)c;
        } else {
            memcpy(out + n, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
            n += 4;
        }
        if (n + 4 <= size)
            fits = n;
    }
    out[n] = 0;
    return out;
}

const char *pps_cidr_ip_text(const struct pps_addr *a, char text[PPS_ADDR_TEXT])
{
    char whole[PPS_ADDR_TEXT]; /* "10.0.0.1:0", "[2001:db8::7]:0" */
    const char *ip = pps_addr_text(a, whole);
    size_t length = (size_t)(strrchr(ip, ':') - ip);
    bool bracketed = *ip == '[';
    memcpy(text, ip + bracketed, length - 2 * (size_t)bracketed);
    text[length - 2 * (size_t)bracketed] = 0;
    return text;
}

/* Always false: what a caller that gives up returns. */
__attribute__((format(printf, 2, 3))) static bool refuse(const struct entry *e, const char *format, ...)
{
    char shown[PPS_CIDR_SHOWN];
    va_list args;
    int n = snprintf(e->why, e->why_size, "%s", pps_cidr_quote(shown, sizeof shown, e->whole.at, e->whole.length));
    va_start(args, format);
    if (n >= 0 && (size_t)n < e->why_size)
        vsnprintf(e->why + n, e->why_size - (size_t)n, format, args);
    va_end(args);
    return false;
}

static const char *mark(const struct entry *e)
{
    return e->takes_out ? "!" : "";
}

#define NETWORK_TEXT (PPS_ADDR_TEXT + 8)

/* The network of this prefix that the address lies in, as the operator should have written it. */
static const char *network_text(const struct entry *e, unsigned prefix, char text[NETWORK_TEXT])
{
    char ip[PPS_ADDR_TEXT];
    struct pps_addr network = network_of(e->ip, prefix);
    unsigned written = pps_addr_is_v4(&e->ip) ? prefix - 96 : prefix;
    snprintf(text, NETWORK_TEXT, "%s%s/%u", mark(e), pps_cidr_ip_text(&network, ip), written);
    return text;
}

static bool has_byte(struct pps_text t, char c)
{
    return memchr(t.at, c, t.length);
}

static bool has_letter(struct pps_text t)
{
    for (size_t i = 0; i < t.length; i++)
        if ((t.at[i] | 0x20) >= 'a' && (t.at[i] | 0x20) <= 'z')
            return true;
    return false;
}

static bool has_only_digits_and_dots(struct pps_text t)
{
    for (size_t i = 0; i < t.length; i++)
        if (!pps_text_is_digit(t.at[i]) && t.at[i] != '.')
            return false;
    return true;
}

static bool explain_dotted(const struct entry *e)
{
    for (struct pps_text rest = e->address; rest.at;) {
        struct pps_text n = cut(&rest, '.');
        if (n.length > 1 && *n.at == '0')
            return refuse(e, ": a leading zero reads as octal in some places: write the numbers without");
        if (n.length > 3 || (n.length == 3 && memcmp(n.at, "255", 3) > 0))
            return refuse(e, ": %.*s is too much: the numbers of an IPv4 address are 0 to 255",
                          (int)(n.length < 20 ? n.length : 20), n.at);
    }
    return refuse(e, ": an IPv4 address is four numbers: write one like 10.0.0.1 or 10.0.0.0/8");
}

/* The words for everybody, as other software has them. */
static bool is_everybody(struct pps_text t)
{
    static const char *const words[] = {"any", "all", "*", "ANY", "ALL", "Any", "All"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (pps_text_is(t, words[i]))
            return true;
    return false;
}

static bool is_nobodys(const struct entry *e)
{
    static const struct pps_addr any4 = {.ip = {[10] = 0xff, [11] = 0xff}}, any6 = {0};
    return !e->bits.at && !e->takes_out &&
           (memcmp(e->ip.ip, any4.ip, sizeof any4.ip) == 0 || memcmp(e->ip.ip, any6.ip, sizeof any6.ip) == 0);
}

static bool explain_separator(const struct entry *e)
{
    return refuse(e, ": entries are separated by commas or spaces, not by %c", has_byte(e->whole, ';') ? ';' : '|');
}

static bool explain_address(const struct entry *e)
{
    struct pps_text a = e->address, port = a, host = cut(&port, ':');
    struct pps_addr ip = {0};
    if (is_everybody(e->whole))
        return refuse(e, ": everybody is written 0.0.0.0/0 ::/0");
    if (has_byte(e->whole, ';') || has_byte(e->whole, '|'))
        return explain_separator(e);
    if (!a.length)
        return refuse(e, ": an address is missing: write one like 10.0.0.0/8 or 2001:db8::/32");
    if (has_byte(e->whole, '"') || has_byte(e->whole, '\''))
        return refuse(e, ": the quotes are part of the value: write it without");
    if (has_byte(a, '['))
        return refuse(e, ": a list takes no brackets and no ports: write the bare address");
    if (pps_scan_ip(AF_INET, host.at, host.length, &ip))
        return refuse(e, ": a list takes no ports: write %.*s", (int)host.length, host.at);
    if (has_byte(a, '%'))
        return refuse(e, ": zones are not compared: write the address without the %% and what follows");
    if (has_byte(a, ':'))
        return refuse(e, ": not an IPv6 address: write one like 2001:db8::7 or 2001:db8::/32");
    if (has_only_digits_and_dots(a))
        return explain_dotted(e);
    if (has_letter(a))
        return refuse(e, ": write an address or a CIDR, names are not looked up");
    if (has_byte(a, '-'))
        return refuse(e, ": ranges are not read: write CIDRs");
    return refuse(e, ": not an address: write one like 10.0.0.0/8 or 2001:db8::/32");
}

/* The prefix, in IPv6 terms, of a netmask with all its ones in front; false for any other. */
static bool prefix_of_netmask(struct pps_text t, unsigned *prefix)
{
    struct pps_addr a = {0};
    if (!pps_scan_ip(AF_INET, t.at, t.length, &a))
        return false;
    uint32_t mask = pps_get_u32(a.ip + 12);
    *prefix = 96 + (unsigned)__builtin_popcount(mask);
    return (~mask & (~mask + 1)) == 0;
}

static bool explain_prefix(const struct entry *e)
{
    char network[NETWORK_TEXT];
    unsigned prefix;
    if (has_byte(e->bits, ';') || has_byte(e->bits, '|'))
        return explain_separator(e);
    if (e->dotted && prefix_of_netmask(e->bits, &prefix))
        return refuse(e, ": netmasks are not read: write %s", network_text(e, prefix, network));
    return refuse(e, e->dotted ? ": an IPv4 prefix is /0 to /32" : ": an IPv6 prefix is /0 to /128");
}

static bool explain_mapped_prefix(const struct entry *e)
{
    char network[NETWORK_TEXT];
    if (e->prefix <= 32) /* surely meant as IPv4's */
        return refuse(e, ": an IPv4-mapped prefix is /96 to /128: write %s", network_text(e, 96 + e->prefix, network));
    return refuse(e, ": an IPv4-mapped prefix is /96 to /128");
}

static bool explain_host_bits(const struct entry *e)
{
    char network[NETWORK_TEXT], ip[PPS_ADDR_TEXT];
    return refuse(e, " has host bits set: write %s, or %s%s for the one host", network_text(e, e->prefix, network),
                  mark(e), pps_cidr_ip_text(&e->ip, ip));
}

/* --- the whole --- */

static void split(struct entry *e)
{
    e->bits = e->whole;
    e->takes_out = pps_text_begins(e->whole, "!");
    e->bits.at += e->takes_out;
    e->bits.length -= e->takes_out;
    e->address = cut(&e->bits, '/');
}

static bool read_address(struct entry *e)
{
    struct pps_text t = e->address;
    e->dotted = pps_scan_ip(AF_INET, t.at, t.length, &e->ip);
    return e->dotted || pps_scan_ip(AF_INET6, t.at, t.length, &e->ip) || explain_address(e);
}

static bool read_prefix(struct entry *e)
{
    e->prefix = 128;
    if (!e->bits.at)
        return true;
    if (!read_number(e->bits, e->dotted ? 32 : 128, &e->prefix))
        return explain_prefix(e);
    if (e->dotted)
        e->prefix += 96;
    return !pps_addr_is_v4(&e->ip) || e->prefix >= 96 || explain_mapped_prefix(e);
}

bool pps_cidr_read(const char *text, size_t length, struct pps_cidr_entry *out, char *why, size_t size)
{
    struct entry e = {.whole = {text, length}, .why = why, .why_size = size};
    split(&e);
    if (!read_address(&e) || !read_prefix(&e))
        return false;
    if (is_nobodys(&e))
        return refuse(&e, ": nobody has that address: everybody is written 0.0.0.0/0 ::/0");
    struct pps_addr network = network_of(e.ip, e.prefix);
    if (memcmp(network.ip, e.ip.ip, sizeof network.ip) != 0)
        return explain_host_bits(&e);
    *out = (struct pps_cidr_entry){network, e.prefix, e.takes_out};
    return true;
}
