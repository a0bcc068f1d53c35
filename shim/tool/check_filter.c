/* SPDX-License-Identifier: MIT
 *
 * check_filter.c: does a unit forbid system calls or address families that the shim needs? (check.h) What a server
 * needs itself, and so is allowed, is not looked at; nor is what the shim does without.
 */
#include "check.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>

/* --- systemd.exec(5), SystemCallFilter= and RestrictAddressFamilies= --- */

/* In one of "@a @b". */
static bool is_among(const char *groups, const char *word, size_t length)
{
    for (const char *at = groups; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        if (n == length && memcmp(at, word, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* The first word says whether the list is one of what is allowed, or of what is not; one of the other kind takes back.
   `groups`: of which the name is. */
static bool permits(const struct tool_paths *filter, const char *name, const char *groups)
{
    bool allows = filter->count && filter->list[0][0] != '~', in = false;
    for (size_t i = 0; i < filter->count; i++) {
        bool back = filter->list[i][0] == '~';
        const char *word = filter->list[i] + back;
        size_t length = strcspn(word, ":");
        bool with_error = word[length]; /* it is answered with that */
        if ((strlen(name) == length && memcmp(word, name, length) == 0) || is_among(groups, word, length))
            in = back != allows && !(allows && with_error);
    }
    return allows == in;
}

/* --- system calls --- */

/* Groups as in systemd 252 (systemd-analyze syscall-filter); what is in @default is always allowed. */
struct need {
    const char *call, *groups;
};
#define SERVERS " @system-service @known"

static const struct need of_all[] = {{"recvfrom", "@network-io" SERVERS},
                                     {"getsockopt", "@network-io" SERVERS},
                                     {"setsockopt", "@network-io" SERVERS},
                                     {"shutdown", "@network-io" SERVERS},
                                     {"epoll_create1", "@io-event" SERVERS},
                                     {"epoll_ctl", "@io-event" SERVERS},
                                     {"timerfd_create", "@timer" SERVERS},
                                     {"timerfd_settime", "@timer" SERVERS},
                                     {"rt_sigprocmask", "@signal" SERVERS},
                                     {"fcntl", "@file-system" SERVERS},
                                     {NULL, NULL}};
static const struct need of_client_max[] = {
    {"socket", "@network-io" SERVERS}, {"sendto", "@network-io" SERVERS}, {NULL, NULL}};
static const struct need of_journal[] = {
    {"socket", "@network-io" SERVERS}, {"sendmsg", "@network-io" SERVERS}, {NULL, NULL}};
static const struct need of_stats[] = {{"fallocate", "@file-system" SERVERS},
                                       {"fstatfs", "@file-system" SERVERS},
                                       {"unlink", "@file-system" SERVERS},
                                       {NULL, NULL}};
static const struct need of_go[] = {
    {"openat", "@file-system" SERVERS}, {"pwrite64", "@basic-io" SERVERS}, {NULL, NULL}};
static const struct need of_run[] = {{"ptrace", "@debug @known"},
                                     {"pipe2", "@ipc" SERVERS},
                                     {"clone", "@process" SERVERS},
                                     {"wait4", "@process" SERVERS},
                                     {"kill", "@process" SERVERS},
                                     {"prctl", "@process" SERVERS},
                                     {NULL, NULL}};

static void judge_calls(struct tool_report *r, const struct tool_unit *unit, const struct need *needs, const char *who)
{
    char *names = NULL;
    size_t size;
    FILE *to = tool_or_abort(open_memstream(&names, &size));
    for (; needs->call; needs++)
        if (!permits(&unit->calls, needs->call, needs->groups))
            fprintf(to, " %s", needs->call);
    fclose(to);
    if (*names)
        tool_judge(r, TOOL_VERDICT_NO, "its SystemCallFilter= forbids%s, which %s: let it have SystemCallFilter=%s",
                   names, who, names + 1);
    free(names);
}

/* --- address families --- */

static void judge_families(struct tool_report *r, const struct tool_unit *unit)
{
    const struct tool_paths *f = &unit->families;
    if (tool_env_find(&unit->env, "PPSHIM_CLIENT_MAX") && !permits(f, "AF_NETLINK", ""))
        tool_judge(r, TOOL_VERDICT_NO,
                   "PPSHIM_CLIENT_MAX asks the kernel about open connections, by AF_NETLINK, which its "
                   "RestrictAddressFamilies= leaves out: let it have RestrictAddressFamilies=AF_NETLINK");
    if (tool_env_find(&unit->env, "PPSHIM_JOURNAL") && !permits(f, "AF_UNIX", ""))
        tool_judge(r, TOOL_VERDICT_NO,
                   "PPSHIM_JOURNAL is told by AF_UNIX, which its RestrictAddressFamilies= leaves out: let it have "
                   "RestrictAddressFamilies=AF_UNIX");
}

void tool_check_filters(struct tool_report *r, const struct tool_unit *unit, const struct tool_go *go)
{
    judge_families(r, unit);
    judge_calls(r, unit, of_all, "the library calls");
    if (tool_env_find(&unit->env, "PPSHIM_CLIENT_MAX"))
        judge_calls(r, unit, of_client_max, "PPSHIM_CLIENT_MAX needs");
    if (tool_env_find(&unit->env, "PPSHIM_JOURNAL"))
        judge_calls(r, unit, of_journal, "PPSHIM_JOURNAL needs");
    if (tool_env_find(&unit->env, "PPSHIM_STATS"))
        judge_calls(r, unit, of_stats, "PPSHIM_STATS needs");
    if (go->is_go && go->is_static)
        judge_calls(r, unit, of_run, "ppshim run needs to put the shim into a static Go program");
    else if (go->is_go)
        judge_calls(r, unit, of_go, "the library needs to put itself into a Go program");
}
