/* SPDX-License-Identifier: MIT
 *
 * json.h: values of JSON. Strings are of bytes of anybody: always valid UTF-8, and no control byte gets through.
 */
#ifndef PPSHIM_TOOL_JSON_H
#define PPSHIM_TOOL_JSON_H

#include <ppshim/addr.h>
#include <stddef.h>
#include <stdio.h>

/* "text" with its quotes; what is not UTF-8 becomes U+FFFD, byte by byte; NULL is empty. */
void tool_json_put(FILE *to, const char *text);
void tool_json_bytes(FILE *to, const void *at, size_t length);

/* "key": "203.0.113.7:4711"; and "key": "2026-11-26T14:05:12.345Z" of nanoseconds of CLOCK_REALTIME. */
void tool_json_address(FILE *to, const char *key, const struct pps_addr *a);
void tool_json_time(FILE *to, const char *key, uint64_t ns);

#endif
