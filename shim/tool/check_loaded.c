/* SPDX-License-Identifier: MIT
 *
 * check_loaded.c: has a service that is just being started loaded the library? (check.h) What `ppshim unit` writes asks
 * this behind each start: a preload that fails is silent, and the service would run open.
 *
 * systemd may ask before the program is executed, or while its libraries are still being mapped: LD_PRELOAD's come
 * first, so that a process which has mapped a libc, or needs none, has had its chance. A static Go program is watched
 * from before it is there until the shim is in it.
 */
#include "check.h"
#include "check_holders.h"
#include "image.h"
#include "proc.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define PAUSE_MS 10

enum answer { LOADED, NOT_LOADED, NOT_YET, GONE };

static bool has_libc(pid_t pid)
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = tool_proc_open(pid, "maps");
    while (file && !found && getline(&line, &size, file) > 0) {
        const char *name = strrchr(line, '/');
        found = name && (strncmp(name, "/libc.so", 8) == 0 || strncmp(name, "/libc-", 6) == 0 ||
                         strncmp(name, "/libc.musl", 10) == 0 || strncmp(name, "/ld-musl", 8) == 0);
    }
    free(line);
    if (file)
        fclose(file);
    return found;
}

/* systemd's own child, or `ppshim run`, on its way to the program. */
static bool is_to_be_executed(const struct tool_image *i)
{
    const char *name = tool_image_name(i);
    return strncmp(name, "systemd", 7) == 0 || strncmp(name, "(", 1) == 0 || strcmp(name, "ppshim") == 0;
}

/* Whether the shim may still come: its constructor need not have run, nor who puts it into a static Go program. */
static bool may_come(const struct tool_image *i)
{
    if (i->loaded || !i->elf.dynamic)
        return !i->secure && !i->go.why_not && (i->loaded || i->traced);
    return !has_libc(i->pid);
}

static enum answer judge(const struct tool_image *i, char **why)
{
    bool in_it = i->loaded && !i->secure && i->accepts != TOOL_ACCEPTS_UNHINDERED;
    if (is_to_be_executed(i)) {
        *why = tool_text("it is %s still", tool_image_name(i));
        return NOT_YET;
    }
    if (in_it && (!i->tells || i->on))
        return LOADED;
    *why = in_it
               ? tool_text("the library is loaded but off: neither PPSHIM_TRUST nor PPSHIM_HEADER_OPTIONAL reached it")
               : tool_absence_of(i);
    return may_come(i) ? NOT_YET : NOT_LOADED;
}

static enum answer ask(pid_t pid, char **why)
{
    struct tool_image i;
    enum answer answer = GONE;
    free(*why);
    *why = NULL;
    if (tool_image_read(&i, pid))
        answer = judge(&i, why);
    else
        *why = tool_text("it is no more, or cannot be looked at");
    tool_image_free(&i);
    return answer;
}

/* Of a service without a main process: any process of this very service but ourselves. */
static pid_t somebody_else(void)
{
    struct tool_processes all;
    pid_t found = 0;
    char unit[256], of[256];
    tool_processes_read(&all);
    bool known = tool_process_unit(getpid(), unit);
    for (size_t i = 0; known && i < all.count; i++) {
        pid_t pid = all.list[i].pid;
        if (pid != getpid() && tool_process_unit(pid, of) && strcmp(of, unit) == 0 && (!found || pid < found))
            found = pid;
    }
    tool_processes_free(&all);
    return found;
}

void tool_check_loaded(struct tool_report *r, pid_t pid)
{
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    char *why = NULL;
    enum answer answer = NOT_YET;
    if (!pid && !(pid = somebody_else())) {
        tool_judge(r, TOOL_VERDICT_NO, "no process of this service runs");
        return;
    }
    for (int waited = 0; waited < PATIENCE_MS && (answer = ask(pid, &why)) == NOT_YET; waited += PAUSE_MS)
        nanosleep(&pause, NULL);
    if (answer != LOADED)
        tool_judge(r, TOOL_VERDICT_NO, "process %d runs without the library: %s", (int)pid, why);
    tool_judge_ok(r, "process %d has loaded the library", (int)pid);
    free(why);
}
