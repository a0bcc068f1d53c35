/* SPDX-License-Identifier: MIT
 *
 * cidr_internal.h: what cidr_text.c reads for cidr.c, and for nobody else.
 */
#ifndef PPSHIM_CIDR_INTERNAL_H
#define PPSHIM_CIDR_INTERNAL_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stddef.h>

#define PPS_CIDR_SHOWN 72 /* room for an entry in an error: the longest good one and some */

/* What one entry says. */
struct pps_cidr_entry {
    struct pps_addr network; /* no bit is set behind the prefix */
    unsigned prefix;         /* always in IPv6 terms: 10.0.0.0/8 has 104 */
    bool takes_out;
};

/* The text's half of pps_cidr_add: *out is written only when true. */
bool pps_cidr_read(const char *text, size_t length, struct pps_cidr_entry *out, char *why, size_t size);

#endif
