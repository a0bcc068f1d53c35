/* SPDX-License-Identifier: MIT
 *
 * limits.h: the limits in force (PPSHIM_CLIENT_RATE, PPSHIM_CLIENT_MAX, PPSHIM_LIMIT_EXEMPT) and the clients' accounts,
 * which the processes of one server share.
 *
 * The accounts lie in one mapping, made when a process first governs a listener, and inherited by what it forks. It
 * never grows. Where it is full the least recent client is forgotten, and so has more than its limit; that is said once
 * a minute. No lock: a process that is killed in the middle holds nobody up.
 *
 * Any thread, any signal handler; waits for nothing. May change errno.
 */
#ifndef PPSHIM_LIMITS_H
#define PPSHIM_LIMITS_H

#include <ppshim/config.h>
#include <ppshim/conn.h>
#include <ppshim/reason.h>
#include <stdbool.h>

/* Makes the accounts if a limit is set and they are not made yet. false and one line in `error`: no memory. */
bool pps_limits_begin(const struct pps_config *config, char error[PPS_ERROR_TEXT]);

/* Whether connections can be asked after in the kernel, as PPSHIM_CLIENT_MAX must: its first listener shows it. false
   and one line in `error`: they cannot. After begin. */
bool pps_limits_suit(const struct pps_config *config, int listener, char error[PPS_ERROR_TEXT]);

/* Of a connection that would be let in, with cancellation off: PPS_REASON_NONE, and it is counted as this client's, or
   why it is too many. Where there are no accounts (pps_limits_begin), there is no limit. */
enum pps_reason pps_limits_judge(const struct pps_conn *conn, const struct pps_config *config,
                                 const struct pps_addr *client);

/* Whether a connection that ends for this reason is reset, so that nothing of it stays in the kernel. */
static inline bool pps_limits_reset(enum pps_reason reason)
{
    return reason == PPS_REASON_CLIENT_RATE || reason == PPS_REASON_CLIENT_MAX;
}

#endif
