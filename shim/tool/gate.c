/* SPDX-License-Identifier: MIT
 *
 * gate.c: see gate.h.
 */
#include "gate.h"
#include "proc.h"
#include <string.h>
#include <sys/auxv.h>

/* What the process jumps to at that address; 0: it does not. */
static uint64_t follow(pid_t pid, uint64_t site)
{
    uint8_t there[PPS_GO_JUMP_SIZE], jump[PPS_GO_JUMP_SIZE];
    uint64_t to;
    if (!tool_proc_memory(pid, site, there, sizeof there))
        return 0;
    memcpy(&to, there + 2, sizeof to);
    pps_go_jump(jump, to);
    return memcmp(there, jump, sizeof jump) == 0 ? to : 0;
}

bool tool_gate_find(pid_t pid, const struct tool_go *program, struct tool_gate *out)
{
    struct pps_go_mark mark;
    *out = (struct tool_gate){.at = 0};
    if (!program->is_go || program->why_not)
        return false;
    uint64_t bias = tool_proc_aux(pid, AT_ENTRY) - program->entry;
    uint64_t gate = follow(pid, program->sites.syscall6 + bias);
    if (!gate || !tool_proc_memory(pid, gate - sizeof mark, &mark, sizeof mark) ||
        memcmp(mark.mark, PPS_GO_MARK, PPS_GO_MARK_SIZE) != 0)
        return false;
    out->at = gate;
    out->status = gate + (uint64_t)mark.status;
    memcpy(out->version, mark.version, sizeof out->version - 1);
    return true;
}
