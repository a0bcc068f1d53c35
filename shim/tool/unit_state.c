/* SPDX-License-Identifier: MIT
 *
 * unit_state.c: see unit_state.h. Owns the calls of systemctl show.
 */
#include "unit_state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool tool_systemd_runs(void)
{
    return access("/run/systemd/system", F_OK) == 0;
}

bool tool_unit_state_ask(const char *name, struct tool_unit_state *out)
{
    char command[512], line[256];
    *out = (struct tool_unit_state){0};
    if (!tool_systemd_runs())
        return false;
    snprintf(command, sizeof command,
             "systemctl show -p MainPID -p NeedDaemonReload -p ActiveState -- '%s' 2>/dev/null", name);
    FILE *from = popen(command, "re"); /* the name's characters are those of tool_unit_name: no quote among them */
    while (from && fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "MainPID=", 8) == 0)
            out->main_pid = (pid_t)atoi(line + 8);
        else if (strncmp(line, "ActiveState=", 12) == 0)
            snprintf(out->active, sizeof out->active, "%.31s", line + 12);
        else if (strcmp(line, "NeedDaemonReload=yes") == 0)
            out->reload = true;
    }
    return from && pclose(from) == 0;
}
