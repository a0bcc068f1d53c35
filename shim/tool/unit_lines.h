/* SPDX-License-Identifier: MIT
 *
 * unit_lines.h: the assignments of a systemd unit file, as systemd.syntax(7) says.
 */
#ifndef PPSHIM_UNIT_LINES_H
#define PPSHIM_UNIT_LINES_H

/* `line`: where it begins, from 1. key and value are trimmed, and good until it returns. */
typedef void tool_unit_take(void *with, const char *key, const char *value, unsigned line);

/* Each assignment of one section ("[Service]"), in order. The text is written to. */
void tool_unit_lines(char *text, const char *section, tool_unit_take *take, void *with);

#endif
