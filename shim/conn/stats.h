/* SPDX-License-Identifier: MIT
 *
 * stats.h: counts what becomes of connections, for whoever reads <ppshim/stats.h>'s file.
 *
 * Owns that file, made at the first connection a process accepts and mapped from then on, and keeps no descriptor. It
 * stays behind when the process ends: `ppshim status` clears it away. The child of a fork has none until it accepts
 * for itself, and then one of its own. Where none can be made one line says so, and nothing is counted.
 *
 * To count is an atomic addition or a few: no lock, no system call, no allocation. Any thread and signal handler. May
 * change errno.
 */
#ifndef PPSHIM_CONN_STATS_H
#define PPSHIM_CONN_STATS_H

#include <ppshim/conn.h>
#include <ppshim/header.h>
#include <ppshim/stats.h>

/* The only one that may make the file, with some ten system calls: never under a lock. */
void pps_stats_arrived(const struct pps_conn *conn);

/* Each of these is preceded by that one. */
void pps_stats_found(const struct pps_conn *conn, const struct pps_header *h);
void pps_stats_parked(const struct pps_conn *conn); /* and the next one: with the caller's lock */
void pps_stats_unparked(const struct pps_conn *conn);
void pps_stats_count(const struct pps_conn *conn, enum pps_stat stat);

#endif
