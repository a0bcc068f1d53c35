/* SPDX-License-Identifier: MIT
 *
 * events.h: what becomes of a connection, told to all that keep account of it. Whoever decides calls here once and
 * knows none of them.
 *
 * Waits for nothing, may change errno; any thread and signal handler.
 */
#ifndef PPSHIM_EVENTS_H
#define PPSHIM_EVENTS_H

#include <ppshim/conn.h>
#include <ppshim/header.h>
#include <ppshim/reason.h>

/* The kernel gave it to this process; nothing is known of it but where it was accepted. Before all others, and never
   under a lock. */
void pps_event_arrived(const struct pps_conn *conn);

/* Its header was believed, consumed and remembered: it is the server's from here on. The views of *h are what was
   consumed. */
void pps_event_accepted(const struct pps_conn *conn, const struct pps_header *h);

/* It is the server's with its real peer: it came from an untrusted one; or from one that need not send a header, and
   sent none. */
void pps_event_passed_untrusted(const struct pps_conn *conn);
void pps_event_passed_without_header(const struct pps_conn *conn);

/* It ends here. A probe connected and left without a byte. */
void pps_event_probe(const struct pps_conn *conn);
void pps_event_rejected(const struct pps_conn *conn, enum pps_reason reason);
/* It would end here if its limit were not a dry run. */
void pps_event_would_reject(const struct pps_conn *conn, enum pps_reason reason, const struct pps_addr *client);

/* It waits for its header among the pending ones (pending.h); and, whatever becomes of it, does no longer. Under the
   caller's lock. */
void pps_event_parked(const struct pps_conn *conn);
void pps_event_unparked(const struct pps_conn *conn);

/* The server asked for its connection's peer, and is told this client. */
void pps_event_recalled(int fd, const struct pps_client *client);

#endif
