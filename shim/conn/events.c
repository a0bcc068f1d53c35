/* SPDX-License-Identifier: MIT
 *
 * events.c: see events.h.
 */
#include "events.h"
#include "conn_log.h"
#include "journal.h"
#include "stats.h"
#include "trace.h"

void pps_event_arrived(const struct pps_conn *c)
{
    pps_stats_arrived(c);
}

void pps_event_accepted(const struct pps_conn *c, const struct pps_header *h)
{
    pps_trace_accepted(c, h);
    pps_stats_found(c, h);
    pps_conn_log_accept(c, h);
    pps_journal_tell(c, h, 0);
}

void pps_event_passed_untrusted(const struct pps_conn *c)
{
    pps_trace_passed(c);
    pps_stats_count(c, PPS_STAT_UNTRUSTED_PASSED);
    pps_conn_log_pass_untrusted(c);
    pps_journal_tell(c, NULL, PPS_JOURNAL_UNTRUSTED);
}

void pps_event_passed_without_header(const struct pps_conn *c)
{
    pps_trace_passed(c);
    pps_stats_count(c, PPS_STAT_NOT_FOUND_ALLOWED);
    pps_journal_tell(c, NULL, PPS_JOURNAL_NO_HEADER);
}

void pps_event_probe(const struct pps_conn *c)
{
    pps_stats_count(c, PPS_STAT_PROBES);
    pps_conn_log_probe(c);
}

void pps_event_rejected(const struct pps_conn *c, enum pps_reason reason)
{
    pps_trace_rejected(c, reason);
    pps_stats_count(c, PPS_STAT_REJECTED + reason);
    pps_conn_log_reject(c, reason);
}

void pps_event_parked(const struct pps_conn *c)
{
    pps_trace_parked(c);
    pps_stats_parked(c);
}

void pps_event_unparked(const struct pps_conn *c)
{
    pps_stats_unparked(c);
}

void pps_event_would_reject(const struct pps_conn *c, enum pps_reason reason, const struct pps_addr *client)
{
    pps_stats_count(c, reason == PPS_REASON_CLIENT_RATE ? PPS_STAT_WOULD_CLIENT_RATE : PPS_STAT_WOULD_CLIENT_MAX);
    pps_conn_log_would_reject(c, reason, client);
}

void pps_event_recalled(int fd, const struct pps_client *client)
{
    pps_trace_recalled(fd, client);
}
