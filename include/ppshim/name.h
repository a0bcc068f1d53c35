/* SPDX-License-Identifier: MIT
 *
 * name.h: names that headers give to clients (header_tlv.h), as lists of clients hold them beside addresses: the AWS
 * endpoint `vpce:vpce-08d2bf15fac5001c9`, the Azure link `azure-link:305419896`, the Google connection
 * `psc:43686719580552292`, the name in a certificate that the balancer verified `cn:app`, and the host that the client
 * asked for `sni:db.example.com`, in which case does not count.
 *
 * A set is filled, then read by any number of threads and in signal handlers; it lies in mappings of its own, for lists
 * are read inside accept. Adding may change errno, the rest does not.
 */
#ifndef PPSHIM_NAME_H
#define PPSHIM_NAME_H

#include <ppshim/header_tlv.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pps_name_set {
    uint8_t *records; /* one name behind the other */
    size_t used, mapped;
    uint32_t *table; /* where in the records, plus one, by hash; 0: empty */
    size_t size;     /* of the table: 0 or a power of two */
    size_t count;
};

/* Whether a list's entry, or what follows a `!`, begins as a name does: with the word of a fact and a colon. No address
   begins so. */
bool pps_name_is(const char *entry, size_t length);

/* `entry` is a name; bytes that the log escapes (\x20) may be written so. One that is there already is none more.
   false: `why` (size bytes) says what is wrong and what would be right, on one line. */
bool pps_name_add(struct pps_name_set *set, const char *entry, size_t length, char *why, size_t size);

/* Whether it has one of those that the header says. If so *found is that fact. */
bool pps_name_has(const struct pps_name_set *set, const struct pps_facts *facts, enum pps_fact_kind *found);

void pps_name_free(struct pps_name_set *set);

/* The first that a list could have; false: the header says none. */
bool pps_name_first(const struct pps_facts *facts, enum pps_fact_kind *found);

/* A name as a list has it, but not escaped: "vpce:vpce-08d2bf15fac5001c9"; of a long one the beginning, and "...". */
#define PPS_NAME_TEXT 39
struct pps_name_text {
    uint8_t length; /* 0: none */
    char text[PPS_NAME_TEXT];
};
struct pps_name_text pps_name_text(enum pps_fact_kind kind, const struct pps_fact *fact);

#endif
