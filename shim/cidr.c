/* SPDX-License-Identifier: MIT
 *
 * cidr.c: text to sets of addresses, and the look-up (cidr.h).
 *
 * Owns the mappings of the sets it makes. Must never allocate by malloc, not even through libc's qsort: sets are
 * rebuilt inside accept, which may run in a signal handler. No state of its own: any thread, and nothing to do at fork.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <ppshim/cidr.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SHOWN 72 /* an entry in an error: the longest good one and some */

/* ::ffff:0:0/96, where IPv4 lives. */
static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const struct pps_range mapped_block = {{0, 0xffff00000000}, {0, 0xffffffffffff}};

/* --- 128-bit numbers --- */

static struct pps_wide wide_of(const uint8_t ip[16])
{
    uint64_t half[2];
    memcpy(half, ip, sizeof half);
    return (struct pps_wide){be64toh(half[0]), be64toh(half[1])};
}

static void wide_to(struct pps_wide w, uint8_t ip[16])
{
    uint64_t half[2] = {htobe64(w.high), htobe64(w.low)};
    memcpy(ip, half, sizeof half);
}

static bool less(struct pps_wide a, struct pps_wide b)
{
    return a.high != b.high ? a.high < b.high : a.low < b.low;
}

static bool same(struct pps_wide a, struct pps_wide b)
{
    return a.high == b.high && a.low == b.low;
}

static struct pps_wide next(struct pps_wide w)
{
    w.low++;
    w.high += w.low == 0;
    return w;
}

static struct pps_wide previous(struct pps_wide w)
{
    w.high -= w.low == 0;
    w.low--;
    return w;
}

/* The bits an address of this prefix leaves free. */
static struct pps_wide host_mask(unsigned bits)
{
    if (bits < 64)
        return (struct pps_wide){UINT64_MAX >> bits, UINT64_MAX};
    return (struct pps_wide){0, bits < 128 ? UINT64_MAX >> (bits - 64) : 0};
}

static struct pps_range range_of(const uint8_t ip[16], unsigned bits)
{
    struct pps_wide a = wide_of(ip), free_bits = host_mask(bits);
    return (struct pps_range){{a.high & ~free_bits.high, a.low & ~free_bits.low},
                              {a.high | free_bits.high, a.low | free_bits.low}};
}

/* --- growing --- */

static bool grow(struct pps_cidr_set *set)
{
    size_t bytes = set->mapped ? set->mapped * 2 : 4096;
    void *at = set->ranges ? mremap(set->ranges, set->mapped, bytes, MREMAP_MAYMOVE)
                           : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return false;
    set->ranges = at;
    set->mapped = bytes;
    return true;
}

static bool push(struct pps_cidr_set *set, struct pps_range r)
{
    if ((set->count + 1) * sizeof r > set->mapped && !grow(set))
        return false;
    set->ranges[set->count++] = r;
    return true;
}

void pps_cidr_free(struct pps_cidr_set *set)
{
    if (set->ranges)
        munmap(set->ranges, set->mapped);
    *set = (struct pps_cidr_set){0};
}

/* Gives back what doubling took too much. */
static void trim(struct pps_cidr_set *set)
{
    size_t bytes = set->count * sizeof *set->ranges, prefixes = set->prefixes;
    if (!set->count) {
        pps_cidr_free(set);
        set->prefixes = prefixes;
        return;
    }
    void *at = mremap(set->ranges, set->mapped, bytes, MREMAP_MAYMOVE);
    if (at == MAP_FAILED)
        return;
    set->ranges = at;
    set->mapped = bytes;
}

/* --- text: what a good entry is --- */

struct text {
    const char *at;
    size_t length;
};

struct entry {
    struct text whole;         /* as written */
    struct text address, bits; /* before and after the slash */
    bool takes_out, has_slash;
    bool dotted; /* written as IPv4 */
    bool v4;     /* inside the mapped block, however written */
    uint8_t ip[16];
    unsigned prefix; /* always in IPv6 terms: 10.0.0.0/8 has 104 */
    char *why;
    size_t why_size;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* At most three digits, no leading zero, no sign. Returns the byte after the last digit, NULL if that is no number. */
static const char *read_number(const char *at, const char *end, unsigned *n)
{
    const char *start = at;
    for (*n = 0; at < end && is_digit(*at) && at - start < 3; at++)
        *n = *n * 10 + (unsigned)(*at - '0');
    bool bad = at == start || (at < end && is_digit(*at)) || (at - start > 1 && *start == '0');
    return bad ? NULL : at;
}

static bool read_v4(struct text t, uint8_t ip[4])
{
    const char *at = t.at, *end = t.at + t.length;
    for (int i = 0; i < 4; i++) {
        unsigned n;
        if (i && (at == end || *at++ != '.'))
            return false;
        if (!(at = read_number(at, end, &n)) || n > 255)
            return false;
        ip[i] = (uint8_t)n;
    }
    return at == end;
}

static bool read_v6(struct text t, uint8_t ip[16])
{
    char copy[INET6_ADDRSTRLEN];
    if (t.length >= sizeof copy || memchr(t.at, 0, t.length))
        return false;
    memcpy(copy, t.at, t.length);
    copy[t.length] = 0;
    return inet_pton(AF_INET6, copy, ip) == 1;
}

static const char *ip_text(const uint8_t ip[16], char out[INET6_ADDRSTRLEN])
{
    bool v4 = memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0;
    return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, out, INET6_ADDRSTRLEN);
}

/* --- text: what is wrong with a bad one --- */

const char *pps_cidr_quote(char *out, size_t size, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0, cut = 0; /* cut: the last place that leaves room for the dots */
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= ' ' && c < 0x7f && c != '\\';
        if (n + (plain ? 1 : 4) >= size) {
            memcpy(out + cut, "...", 4);
            return out;
        }
        if (plain) {
            out[n++] = (char)c;
        } else {
            memcpy(out + n, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
            n += 4;
        }
        if (n + 4 <= size)
            cut = n;
    }
    out[n] = 0;
    return out;
}

/* Always false: what a caller that gives up returns. */
__attribute__((format(printf, 2, 3))) static bool refuse(const struct entry *e, const char *format, ...)
{
    char shown[SHOWN];
    va_list args;
    int n = snprintf(e->why, e->why_size, "%s", pps_cidr_quote(shown, sizeof shown, e->whole.at, e->whole.length));
    va_start(args, format);
    if (n >= 0 && (size_t)n < e->why_size)
        vsnprintf(e->why + n, e->why_size - (size_t)n, format, args);
    va_end(args);
    return false;
}

/* The network this address and prefix lie in, as the operator should have written it. */
static bool refuse_with_network(const struct entry *e, unsigned prefix, const char *what, const char *or_host)
{
    char network[INET6_ADDRSTRLEN], host[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    const char *out = e->takes_out ? "!" : "";
    wide_to(range_of(e->ip, prefix).first, ip);
    ip_text(ip, network);
    unsigned written = e->v4 ? prefix - 96 : prefix;
    if (!or_host)
        return refuse(e, "%s: write %s%s/%u", what, out, network, written);
    return refuse(e, "%s: write %s%s/%u, or %s%s %s", what, out, network, written, out, ip_text(e->ip, host), or_host);
}

static size_t span(struct text t, bool (*is)(char))
{
    size_t n = 0;
    while (n < t.length && is(t.at[n]))
        n++;
    return n;
}

static bool digit_or_dot(char c)
{
    return is_digit(c) || c == '.';
}

static bool no_letter(char c)
{
    return !is_letter(c);
}

static bool has_byte(struct text t, char c)
{
    return t.length && memchr(t.at, c, t.length);
}

static bool begins(struct text t, const char *word)
{
    return t.length >= strlen(word) && memcmp(t.at, word, strlen(word)) == 0;
}

static bool explain_dotted(const struct entry *e)
{
    const char *at = e->address.at, *end = at + e->address.length;
    while (at <= end) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        const char *stop = dot ? dot : end;
        if (stop - at > 1 && *at == '0')
            return refuse(e, ": a leading zero reads as octal in some places: write the numbers without");
        if (stop - at > 3 || (stop - at == 3 && memcmp(at, "255", 3) > 0))
            return refuse(e, ": %.*s is too much: the numbers of an IPv4 address are 0 to 255",
                          (int)(stop - at < 20 ? stop - at : 20), at);
        at = stop + 1;
    }
    return refuse(e, ": an IPv4 address is four numbers: write one like 10.0.0.1 or 10.0.0.0/8");
}

/* 10.0.0.1:3306 */
static bool is_v4_with_port(struct text t, size_t *address_length)
{
    uint8_t ip[4];
    const char *colon = t.length ? memchr(t.at, ':', t.length) : NULL;
    if (!colon)
        return false;
    *address_length = (size_t)(colon - t.at);
    return read_v4((struct text){t.at, *address_length}, ip);
}

static bool explain_address(const struct entry *e)
{
    struct text a = e->address;
    size_t n;
    if (!a.length)
        return refuse(e, ": an address is missing: write one like 10.0.0.0/8 or 2001:db8::/32");
    if (begins(a, "unix:"))
        return refuse(e, ": this version does not support unix: entries yet: write addresses and CIDRs only");
    if (has_byte(e->whole, '"') || has_byte(e->whole, '\''))
        return refuse(e, ": the quotes are part of the value: write it without");
    if (has_byte(a, '['))
        return refuse(e, ": a list takes no brackets and no ports: write the bare address");
    if (is_v4_with_port(a, &n))
        return refuse(e, ": a list takes no ports: write %.*s", (int)n, a.at);
    if (has_byte(a, '%'))
        return refuse(e, ": zones are not compared: write the address without the %% and what follows");
    if (has_byte(a, ':'))
        return refuse(e, ": not an IPv6 address: write one like 2001:db8::7 or 2001:db8::/32");
    if (span(a, digit_or_dot) == a.length)
        return explain_dotted(e);
    if (span(a, no_letter) < a.length)
        return refuse(e, ": write an address or a CIDR, names are not looked up");
    if (has_byte(a, '-'))
        return refuse(e, ": ranges are not read: write CIDRs");
    return refuse(e, ": not an address: write one like 10.0.0.0/8 or 2001:db8::/32");
}

/* The prefix, in IPv6 terms, of a netmask with all its ones in front; false for any other. */
static bool prefix_of_netmask(struct text t, unsigned *prefix)
{
    uint8_t ip[4];
    if (!read_v4(t, ip))
        return false;
    uint32_t mask = (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];
    *prefix = 96 + (unsigned)__builtin_popcount(mask);
    return (~mask & (~mask + 1)) == 0;
}

static bool explain_prefix(const struct entry *e)
{
    unsigned prefix;
    if (e->dotted && prefix_of_netmask(e->bits, &prefix))
        return refuse_with_network(e, prefix, ": netmasks are not read", NULL);
    return refuse(e, e->dotted ? ": an IPv4 prefix is /0 to /32" : ": an IPv6 prefix is /0 to /128");
}

/* --- entries --- */

static void split(struct entry *e)
{
    struct text t = e->whole;
    e->takes_out = t.length && *t.at == '!';
    t.at += e->takes_out;
    t.length -= e->takes_out;
    const char *slash = t.length ? memchr(t.at, '/', t.length) : NULL;
    e->has_slash = slash;
    e->address = (struct text){t.at, slash ? (size_t)(slash - t.at) : t.length};
    if (slash)
        e->bits = (struct text){slash + 1, t.length - e->address.length - 1};
}

static bool read_address(struct entry *e)
{
    e->dotted = read_v4(e->address, e->ip + 12);
    if (e->dotted)
        memcpy(e->ip, mapped_prefix, sizeof mapped_prefix);
    else if (!read_v6(e->address, e->ip))
        return explain_address(e);
    e->v4 = memcmp(e->ip, mapped_prefix, sizeof mapped_prefix) == 0;
    return true;
}

static bool read_prefix(struct entry *e)
{
    e->prefix = 128;
    if (!e->has_slash)
        return true;
    const char *end = e->bits.at + e->bits.length;
    if (read_number(e->bits.at, end, &e->prefix) != end || e->prefix > (e->dotted ? 32 : 128))
        return explain_prefix(e);
    if (e->dotted)
        e->prefix += 96;
    if (!e->v4 || e->prefix >= 96)
        return true;
    if (e->prefix <= 32)
        return refuse_with_network(e, 96 + e->prefix, ": an IPv4-mapped prefix is /96 to /128", NULL);
    return refuse(e, ": an IPv4-mapped prefix is /96 to /128");
}

/* An IPv6 prefix around the mapped block goes around it: who writes ::/0 means IPv6. */
static bool add_range(struct pps_cidr_set *set, struct pps_range r)
{
    bool around = less(r.first, mapped_block.first) && !less(r.last, mapped_block.last);
    if (!around)
        return push(set, r);
    if (!push(set, (struct pps_range){r.first, previous(mapped_block.first)}))
        return false;
    return same(r.last, mapped_block.last) || push(set, (struct pps_range){next(mapped_block.last), r.last});
}

bool pps_cidr_add(struct pps_cidr_builder *b, const char *entry, size_t len, char *why, size_t size)
{
    struct entry e = {.whole = {entry, len}, .why = why, .why_size = size};
    split(&e);
    if (!read_address(&e) || !read_prefix(&e))
        return false;
    struct pps_range r = range_of(e.ip, e.prefix);
    if (!same(r.first, wide_of(e.ip)))
        return refuse_with_network(&e, e.prefix, " has host bits set", "for the one host");
    struct pps_cidr_set *set = e.takes_out ? &b->exclude : &b->include;
    if (!add_range(set, r))
        return refuse(&e, ": no memory left for the list: write it shorter");
    set->prefixes++;
    return true;
}

/* --- finishing --- */

static void sift_down(struct pps_range *heap, size_t at, size_t count)
{
    struct pps_range moving = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && less(heap[child].first, heap[child + 1].first))
            child++;
        if (!less(moving.first, heap[child].first))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void sort(struct pps_range *r, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sift_down(r, i, count);
    for (size_t end = count; end-- > 1;) {
        struct pps_range largest = r[0];
        r[0] = r[end];
        r[end] = largest;
        sift_down(r, 0, end);
    }
}

/* Joins sorted ranges that overlap or touch, so that no two are left that do. */
static void merge(struct pps_cidr_set *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct pps_range *r = set->ranges + i, *top = kept ? set->ranges + kept - 1 : NULL;
        bool joins = top && (!less(top->last, r->first) || same(next(top->last), r->first));
        if (!joins)
            set->ranges[kept++] = *r;
        else if (less(top->last, r->last))
            top->last = r->last;
    }
    set->count = kept;
}

/* Adds to `out` what is left of `r`. *at: the first of the taken ranges that may matter to this and all later r. */
static bool subtract_from_one(struct pps_cidr_set *out, struct pps_range r, const struct pps_cidr_set *taken,
                              size_t *at)
{
    for (; *at < taken->count; ++*at) {
        const struct pps_range *t = &taken->ranges[*at];
        if (less(t->last, r.first))
            continue;
        if (less(r.last, t->first))
            break;
        if (less(r.first, t->first) && !push(out, (struct pps_range){r.first, previous(t->first)}))
            return false;
        if (!less(t->last, r.last))
            return true;
        r.first = next(t->last);
    }
    return push(out, r);
}

static bool subtract(struct pps_cidr_set *from, const struct pps_cidr_set *taken)
{
    struct pps_cidr_set left = {.prefixes = from->prefixes};
    size_t at = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (!subtract_from_one(&left, from->ranges[i], taken, &at)) {
            pps_cidr_free(&left);
            return false;
        }
    }
    pps_cidr_free(from);
    *from = left;
    return true;
}

bool pps_cidr_finish(struct pps_cidr_builder *b, struct pps_cidr_set *out, char *why, size_t size)
{
    sort(b->include.ranges, b->include.count);
    sort(b->exclude.ranges, b->exclude.count);
    merge(&b->include);
    merge(&b->exclude);
    bool good = !b->exclude.count || subtract(&b->include, &b->exclude);
    if (!good)
        snprintf(why, size, "no memory left for a list of %zu prefixes: write it shorter", b->include.prefixes);
    if (good) {
        trim(&b->include);
        *out = b->include;
        b->include = (struct pps_cidr_set){0};
    }
    pps_cidr_abandon(b);
    return good;
}

void pps_cidr_abandon(struct pps_cidr_builder *b)
{
    pps_cidr_free(&b->include);
    pps_cidr_free(&b->exclude);
}

/* --- looking --- */

bool pps_cidr_has(const struct pps_cidr_set *set, const struct pps_addr *a)
{
    struct pps_wide w = wide_of(a->ip);
    size_t low = 0, high = set->count; /* the first range that begins above w is in low..high */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (less(w, set->ranges[middle].first))
            high = middle;
        else
            low = middle + 1;
    }
    return low && !less(set->ranges[low - 1].last, w);
}

bool pps_cidr_disjoint(const struct pps_cidr_set *a, const struct pps_cidr_set *b, struct pps_addr *common)
{
    for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
        const struct pps_range *x = &a->ranges[i], *y = &b->ranges[j];
        if (less(x->last, y->first)) {
            i++;
        } else if (less(y->last, x->first)) {
            j++;
        } else {
            wide_to(less(x->first, y->first) ? y->first : x->first, common->ip);
            common->port = 0;
            return false;
        }
    }
    return true;
}
