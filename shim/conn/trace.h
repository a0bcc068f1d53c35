/* SPDX-License-Identifier: MIT
 *
 * trace.h: probes for tracers (USDT): places that bpftrace, perf or SystemTap can look in at while the server runs. A
 * probe that nobody looks at is one `nop`; all of them are absent where systemtap's sys/sdt.h was not there to build
 * with. What each tells is in libppshim(8), TRACING: others read it by number, and bpftrace reads six.
 *
 * Any thread and signal handler; keeps errno.
 */
#ifndef PPSHIM_TRACE_H
#define PPSHIM_TRACE_H

#include <ppshim/client.h>
#include <ppshim/conn.h>
#include <ppshim/header.h>
#include <ppshim/reason.h>

void pps_trace_accepted(const struct pps_conn *conn, const struct pps_header *h);
void pps_trace_passed(const struct pps_conn *conn);
void pps_trace_parked(const struct pps_conn *conn);
void pps_trace_rejected(const struct pps_conn *conn, enum pps_reason reason);
void pps_trace_recalled(int fd, const struct pps_client *client);

#endif
