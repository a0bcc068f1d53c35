/* SPDX-License-Identifier: MIT
 *
 * state.h: the settings in force in a Go program. Written before its first instruction, read by every thread.
 */
#ifndef PPSHIM_GO_STATE_H
#define PPSHIM_GO_STATE_H

#include <ppshim/config.h>
#include <ppshim/status.h>
#include <sys/types.h>

extern struct pps_config pps_go_config;
extern struct pps_status pps_go_status; /* for those who look in from outside (gate.h) */
extern pid_t pps_go_owner; /* the process whose memory this is; a child that vfork lent it has another number */

/* Ends the process, status 78, with one line. */
_Noreturn void pps_go_stop(const char *error);

#endif
