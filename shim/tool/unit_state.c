/* SPDX-License-Identifier: MIT
 *
 * unit_state.c: see unit_state.h. Owns the calls of systemctl show.
 */
#include "unit_state.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool tool_systemd_runs(void)
{
    return access("/run/systemd/system", F_OK) == 0;
}

/* The one in its cgroup that none of the others started: of a service whose main process systemd was told not to guess
   (Debian's postfix@). */
static pid_t first_of_cgroup(const char *cgroup)
{
    static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"};
    pid_t pid, first = 0;
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts && !first; i++) {
        char path[PATH_MAX];
        FILE *file =
            snprintf(path, sizeof path, "%s%s/cgroup.procs", mounts[i], cgroup) < PATH_MAX ? fopen(path, "re") : NULL;
        while (file && fscanf(file, "%d", &pid) == 1)
            first = first && first < pid ? first : pid;
        if (file)
            fclose(file);
    }
    return first;
}

bool tool_unit_state_ask(const char *name, struct tool_unit_state *out)
{
    char command[512], line[PATH_MAX], cgroup[PATH_MAX] = "";
    *out = (struct tool_unit_state){0};
    if (!tool_systemd_runs())
        return false;
    snprintf(command, sizeof command,
             "systemctl show -p MainPID -p NeedDaemonReload -p ActiveState -p ControlGroup -- '%s' 2>/dev/null", name);
    FILE *from = popen(command, "re"); /* the name's characters are those of tool_unit_name: no quote among them */
    while (from && fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "MainPID=", 8) == 0)
            out->main_pid = (pid_t)atoi(line + 8);
        else if (strncmp(line, "ActiveState=", 12) == 0)
            snprintf(out->active, sizeof out->active, "%.31s", line + 12);
        else if (strncmp(line, "ControlGroup=", 13) == 0)
            snprintf(cgroup, sizeof cgroup, "%s", line + 13);
        else if (strcmp(line, "NeedDaemonReload=yes") == 0)
            out->reload = true;
    }
    if (!out->main_pid && *cgroup)
        out->main_pid = first_of_cgroup(cgroup);
    return from && pclose(from) == 0;
}
