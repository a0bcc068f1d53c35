/* SPDX-License-Identifier: MIT
 *
 * cidr.h: sets of addresses, from the text an operator writes.
 *
 * A finished set is sorted, disjoint, immutable ranges in one private mapping (mmap, not malloc: sets are rebuilt
 * inside accept, which servers call from signal handlers); a look-up is one binary search. Finished sets may be read by
 * any number of threads and in signal handlers, and survive fork. Building is single-threaded per builder. No errno
 * contract: building may change errno, looking up does not.
 */
#ifndef PPSHIM_CIDR_H
#define PPSHIM_CIDR_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pps_wide { /* an address as a 128-bit number, IPv4 as its mapped form */
    uint64_t high, low;
};

struct pps_range { /* both ends belong to it */
    struct pps_wide first, last;
};

struct pps_cidr_set {
    struct pps_range *ranges; /* NULL for the empty set */
    size_t count;
    size_t mapped;   /* bytes of the mapping */
    size_t prefixes; /* entries written by the operator that include (not `!`), for the log */
};

bool pps_cidr_has(const struct pps_cidr_set *set, const struct pps_addr *a);
/* true when no address is in both; else *common is one that is. */
bool pps_cidr_disjoint(const struct pps_cidr_set *a, const struct pps_cidr_set *b, struct pps_addr *common);
void pps_cidr_free(struct pps_cidr_set *set);

struct pps_cidr_builder {
    struct pps_cidr_set include, exclude; /* unsorted while building */
};
#define PPS_CIDR_BUILDER_INIT ((struct pps_cidr_builder){0})

/*
 * One entry of `len` bytes (no surrounding space): an address or CIDR, IPv4 or IPv6, `!` before it takes it out.
 * IPv4-mapped forms (`::ffff:10.0.0.0/104`) are their IPv4 ones. An IPv6 prefix shorter than /96 never holds IPv4,
 * though the mapped block lies inside it: `::/0` is all of IPv6 and nothing else, `0.0.0.0/0` is all of IPv4.
 *
 * On a bad entry false, and `why` (size bytes) says what is wrong and what would be right, on one line whatever the
 * bytes: "10.1.2.3/8 has host bits set: write 10.0.0.0/8, or 10.1.2.3 for the one host".
 */
bool pps_cidr_add(struct pps_cidr_builder *b, const char *entry, size_t len, char *why, size_t size);
/* Sorts, merges, subtracts; the builder is empty afterwards. false only when memory ran out (`why` says so). */
bool pps_cidr_finish(struct pps_cidr_builder *b, struct pps_cidr_set *out, char *why, size_t size);
void pps_cidr_abandon(struct pps_cidr_builder *b);

/* An operator's bytes as an error line may show them: one line of printable ASCII, the rest as \xNN, "..." for what
   does not fit into `size` (at least 8) bytes. Returns `out`. */
const char *pps_cidr_quote(char *out, size_t size, const char *text, size_t len);

/* An address as an entry names it, without its port: "10.0.0.1", "2001:db8::7". Returns `text`. */
const char *pps_cidr_ip_text(const struct pps_addr *a, char text[PPS_ADDR_TEXT]);

#endif
