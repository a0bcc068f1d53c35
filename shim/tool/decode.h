/* SPDX-License-Identifier: MIT
 *
 * decode.h: `ppshim header --decode`.
 */
#ifndef PPSHIM_TOOL_DECODE_H
#define PPSHIM_TOOL_DECODE_H

#include <stdio.h>

/* Explains the header that `in` begins with, on stdout. TOOL_OK: it is valid; TOOL_NO: it is not, or not whole. */
int tool_decode(FILE *in);

#endif
