/* SPDX-License-Identifier: MIT
 *
 * json.h: text as JSON has it.
 */
#ifndef PPSHIM_TOOL_JSON_H
#define PPSHIM_TOOL_JSON_H

#include <stdio.h>

/* In quotes, and valid UTF-8 whatever the bytes; NULL is empty. */
void tool_json_put(FILE *to, const char *text);

#endif
