/* SPDX-License-Identifier: MIT
 *
 * gate.h: where a Go program that runs makes its system calls: in the kernel, or in the shim. What was written over
 * leads there (go/gate.h), and what stands before the gate says whose it is: nothing that a process says of itself, or
 * has mapped, is asked. Read from outside: the process is not disturbed. Any thread.
 */
#ifndef PPSHIM_TOOL_GATE_H
#define PPSHIM_TOOL_GATE_H

#include "../go/gate.h"
#include "go_program.h"
#include <stdbool.h>
#include <sys/types.h>

struct tool_gate {
    uint64_t at;     /* in that process; 0: its system calls are its own */
    uint64_t status; /* struct pps_status (status.h) there */
    char version[PPS_GO_VERSION_SIZE];
};

/* Of a process and its program. false: it goes through no gate of ours. */
bool tool_gate_find(pid_t pid, const struct tool_go *program, struct tool_gate *out);

#endif
