/* SPDX-License-Identifier: MIT
 *
 * header.c: the entry of header.h. Owns one question: which version do these bytes begin?
 *
 * Must never look past the first PPS_V2_FIXED bytes: what follows belongs to header_v1.c and header_v2.c.
 */
#include "header_internal.h"
#include <string.h>

/* Do the bytes so far agree with `wanted`, as far as both go? */
static bool may_begin(const uint8_t *buf, size_t len, const char *wanted, size_t wanted_length)
{
    return memcmp(buf, wanted, len < wanted_length ? len : wanted_length) == 0;
}

enum pps_verdict pps_header_parse(const uint8_t *buf, size_t len, struct pps_header *out, size_t *need,
                                  enum pps_reason *reason)
{
    if (len == 0) {
        *need = 1;
        return PPS_HEADER_NEED;
    }
    if (may_begin(buf, len, PPS_V1_PREFIX, PPS_V1_PREFIX_LENGTH)) {
        if (len >= PPS_V1_PREFIX_LENGTH)
            return pps_header_parse_v1(buf, len, out, need, reason);
        *need = len + 1;
        return PPS_HEADER_NEED;
    }
    if (may_begin(buf, len, PPS_V2_SIGNATURE, PPS_V2_SIGNATURE_LENGTH)) {
        if (len >= PPS_V2_FIXED)
            return pps_header_parse_v2(buf, len, out, need, reason);
        *need = PPS_V2_FIXED;
        return PPS_HEADER_NEED;
    }
    *reason = PPS_REASON_NOT_A_HEADER;
    return PPS_HEADER_INVALID;
}
