/* SPDX-License-Identifier: MIT
 *
 * vectors.h: named PROXY headers, right and wrong ones. Every row of the protocol's corner cases has its vector here;
 * the unit tests judge them, the fuzzer starts from them, and tests/fuzz/seeds.c writes them to files for everybody
 * else.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <ppshim/header.h>

struct vector {
    const char *name; /* states what must be true of it */
    const uint8_t *bytes;
    size_t size;
    enum pps_verdict verdict; /* of all the bytes: COMPLETE or INVALID */
    size_t decided;           /* COMPLETE: the header's length; INVALID: how many bytes are enough to know */

    enum pps_reason reason; /* INVALID */

    uint8_t version; /* this and all that follows: COMPLETE */
    bool local;
    size_t tlvs;      /* bytes of the TLV area */
    const char *says; /* the TLVs, TYPE:LENGTH with those of the SSL TLV behind it, and then their facts; NULL: "" */
    const char *src, *dst; /* as pps_addr_text writes them; NULL: no client */
};

extern const struct vector vectors[];
extern const size_t vector_count;

#endif
