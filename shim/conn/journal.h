/* SPDX-License-Identifier: MIT
 *
 * journal.h: tells whoever listens at PPSHIM_JOURNAL of each connection that starts (<ppshim/journal.h>).
 *
 * Two system calls a connection: one for its cookie, one for the datagram. That goes out of a socket kept open, which
 * the server may close, and whose number it may then use: so each datagram goes to a path, with a flag (MSG_FASTOPEN)
 * by which TCP refuses what is not meant to open a connection, and Unix datagrams do not mind. Whatever else has the
 * number takes no such address. (A Unix SOCK_SEQPACKET connection would: but what is closed by any way that the library
 * sees is not used again, and the number is out of the way of new ones.)
 *
 * Waits for nothing: what the reader has no room for is counted, and the count goes with the next. Any thread and
 * signal handler; changes errno.
 */
#ifndef PPSHIM_CONN_JOURNAL_H
#define PPSHIM_CONN_JOURNAL_H

#include <ppshim/conn.h>
#include <ppshim/header.h>
#include <ppshim/journal.h>

/* Its header was believed; or NULL and why there is none: PPS_JOURNAL_NO_HEADER or _UNTRUSTED. TCP alone: the kernel
   tells no end of others. */
void pps_journal_tell(const struct pps_conn *conn, const struct pps_header *h, enum pps_journal_kind without);

#endif
