/* SPDX-License-Identifier: MIT
 *
 * limit.h: how many connections a client may make in a time (PPSHIM_CLIENT_RATE), how many it may have open at once
 * (PPSHIM_CLIENT_MAX), and what counts as one client: an address, or all of a prefix.
 *
 * Pure: any thread, any signal handler; no state.
 */
#ifndef PPSHIM_LIMIT_H
#define PPSHIM_LIMIT_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pps_limit {
    uint64_t window;          /* of a rate, in nanoseconds; else 0 */
    unsigned count;           /* connections; 0: no limit */
    uint8_t prefix4, prefix6; /* bits of an address that make the client */
    bool dry_run;             /* said and counted, and let in */
};

/* "20/10s" and "50", each with "per /24,/56" and "dry-run" behind it, separated as the words of lists are (text.h). On
   failure false, and `why` (size bytes) says what is wrong and what would be right. */
bool pps_limit_read_rate(const char *text, struct pps_limit *out, char *why, size_t size);
bool pps_limit_read_max(const char *text, struct pps_limit *out, char *why, size_t size);

/*
 * A bucket of `count` tokens that fills in `window`, one at a time, as the one number that tells all of it: when it is
 * full again (deadline.h). 0 is full. Takes a token at `now`; false, and nothing changed: there is none.
 */
bool pps_limit_take(const struct pps_limit *limit, uint64_t *full_at, uint64_t now);

/* Of random bytes: where a client's account lies is nobody's to choose. */
struct pps_limit_seed {
    uint64_t word[2];
};

/* Which client an address is: never 0, and as good as never the same for two. */
uint64_t pps_limit_client(const struct pps_limit *limit, const struct pps_limit_seed *seed, const struct pps_addr *a);

/* --- for unit tests --- */

/* SipHash-2-4 of 16 bytes (Aumasson, Bernstein: a fast short-input PRF). */
uint64_t pps_limit_hash(const struct pps_limit_seed *seed, const uint8_t bytes[16]);

#endif
