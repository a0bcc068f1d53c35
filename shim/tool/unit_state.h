/* SPDX-License-Identifier: MIT
 *
 * unit_state.h: what a running systemd says of a service.
 */
#ifndef PPSHIM_UNIT_STATE_H
#define PPSHIM_UNIT_STATE_H

#include <stdbool.h>
#include <sys/types.h>

struct tool_unit_state {
    pid_t main_pid; /* or, where systemd knows of none, the first of its processes; 0: none runs */
    bool reload;    /* its files changed since systemd read them */
    char active[32];
};

bool tool_systemd_runs(void);

/* `name` as tool_unit_name makes it. false: no systemd runs here, or it does not answer. */
bool tool_unit_state_ask(const char *name, struct tool_unit_state *out);

#endif
