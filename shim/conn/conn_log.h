/* SPDX-License-Identifier: MIT
 *
 * conn_log.h: what is said of a connection, one line an event.
 *
 * Waits for nothing, keeps errno; any thread and signal handler. Every byte of the peer's is escaped.
 */
#ifndef PPSHIM_CONN_LOG_H
#define PPSHIM_CONN_LOG_H

#include <ppshim/conn.h>
#include <ppshim/header.h>
#include <ppshim/reason.h>

/* Its header was believed, and is about to be consumed: the views of *h are what was peeked. */
void pps_conn_log_accept(const struct pps_conn *conn, const struct pps_header *h);

void pps_conn_log_reject(const struct pps_conn *conn, enum pps_reason reason);
void pps_conn_log_would_reject(const struct pps_conn *conn, enum pps_reason reason, const struct pps_addr *client);

/* Connections that need no line each, but whose number tells an operator what is going on: shown at debug. */
void pps_conn_log_pass_untrusted(const struct pps_conn *conn);
void pps_conn_log_probe(const struct pps_conn *conn);

#endif
