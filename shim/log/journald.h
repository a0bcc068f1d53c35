/* SPDX-License-Identifier: MIT
 *
 * journald.h: a line as systemd's journal takes it: each field of the line one of the journal's, so that
 * `journalctl PPSHIM_CLIENT=203.0.113.7` finds it.
 */
#ifndef PPSHIM_JOURNALD_H
#define PPSHIM_JOURNALD_H

#include <ppshim/config.h>
#include <ppshim/line.h>

struct pps_journald {
    char bytes[2 * PPS_LINE_SIZE + PPS_LINE_FIELDS * 24]; /* the message, all fields of it, and what names them */
    size_t length;
};

/* An ended line to a datagram of the native protocol: newline-terminated NAME=value, for no value has a newline. */
void pps_journald_from(struct pps_journald *out, enum pps_log_level level, const struct pps_line *l);

#endif
