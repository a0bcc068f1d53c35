/* SPDX-License-Identifier: MIT
 *
 * state.h: the settings in force, and whether the shim is on. Written by the constructor alone, read by everybody.
 */
#ifndef PPSHIM_STATE_H
#define PPSHIM_STATE_H

#include <ppshim/config.h>
#include <ppshim/status.h>
#include <stdatomic.h>
#include <stdbool.h>

extern atomic_bool pps_on;           /* the one branch of a shim that is off */
extern struct pps_config pps_config; /* frozen before pps_on is set */

/* For those who look in from outside. */
extern struct pps_status ppshim_status;

/* Ends the process, status 78, with one line: for settings that cannot be honoured. Never returns. */
_Noreturn void pps_stop_misconfigured(const char *error);

#endif
