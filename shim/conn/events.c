/* SPDX-License-Identifier: MIT
 *
 * events.c: see events.h.
 */
#include "events.h"
#include "conn_log.h"

void pps_event_accepted(const struct pps_conn *c, const struct pps_header *h)
{
    pps_conn_log_accept(c, h);
}

void pps_event_passed_untrusted(const struct pps_conn *c)
{
    pps_conn_log_pass_untrusted(c);
}

void pps_event_passed_without_header(const struct pps_conn *c)
{
    (void)c;
}

void pps_event_probe(const struct pps_conn *c)
{
    pps_conn_log_probe(c);
}

void pps_event_rejected(const struct pps_conn *c, enum pps_reason reason)
{
    pps_conn_log_reject(c, reason);
}
