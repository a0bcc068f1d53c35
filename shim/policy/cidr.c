/* SPDX-License-Identifier: MIT
 *
 * cidr.c: sets of addresses: built, sorted, merged, subtracted, looked up in (cidr.h).
 *
 * Owns the mappings of the sets it makes. Must never read text (cidr_text.c does), nor allocate by malloc, not even
 * through libc's qsort: sets are rebuilt inside accept, which may run in a signal handler. No state of its own: any
 * thread, and nothing to do at fork.
 */
#include "cidr_internal.h"
#include <endian.h>
#include <ppshim/cidr.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* ::ffff:0:0/96, where IPv4 lives. */
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
static struct pps_wide host_mask(unsigned prefix)
{
    if (prefix < 64)
        return (struct pps_wide){UINT64_MAX >> prefix, UINT64_MAX};
    return (struct pps_wide){0, prefix < 128 ? UINT64_MAX >> (prefix - 64) : 0};
}

static struct pps_range range_of(const struct pps_cidr_entry *e)
{
    struct pps_wide first = wide_of(e->network.ip), host = host_mask(e->prefix);
    return (struct pps_range){first, {first.high | host.high, first.low | host.low}};
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
    size_t bytes = set->count * sizeof *set->ranges;
    if (set->ranges && mremap(set->ranges, set->mapped, bytes, 0) != MAP_FAILED)
        set->mapped = bytes;
}

/* --- building --- */

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
    struct pps_cidr_entry e;
    if (!pps_cidr_read(entry, len, &e, why, size))
        return false;
    struct pps_cidr_set *set = e.takes_out ? &b->exclude : &b->include;
    if (!add_range(set, range_of(&e))) {
        char shown[PPS_CIDR_SHOWN];
        snprintf(why, size, "%s: no memory left for the list: write it shorter",
                 pps_cidr_quote(shown, sizeof shown, entry, len));
        return false;
    }
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

static void normalize(struct pps_cidr_set *set)
{
    sort(set->ranges, set->count);
    merge(set);
}

bool pps_cidr_finish(struct pps_cidr_builder *b, struct pps_cidr_set *out, char *why, size_t size)
{
    normalize(&b->include);
    normalize(&b->exclude);
    bool good = !b->exclude.count || subtract(&b->include, &b->exclude);
    if (good) {
        trim(&b->include);
        *out = b->include;
        b->include = (struct pps_cidr_set){0};
    } else {
        snprintf(why, size, "no memory left for a list of %zu prefixes: write it shorter", b->include.prefixes);
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
