/* SPDX-License-Identifier: MIT
 *
 * decode_tlv.h: the TLVs of a version 2 header in words, for decode.c.
 */
#ifndef PPSHIM_TOOL_DECODE_TLV_H
#define PPSHIM_TOOL_DECODE_TLV_H

#include <ppshim/header.h>

/* One line: where, what, and its value. */
__attribute__((format(printf, 3, 4))) void tool_decode_line(size_t offset, const char *name, const char *format, ...);

/* The TLV area of a whole header, well formed or not. */
struct pps_view tool_decode_tlvs(const uint8_t *header);

/* Explains them, up to the first that is none. `length` is the header's. */
void tool_decode_explain_tlvs(const uint8_t *header, size_t length);

#endif
