/* SPDX-License-Identifier: MIT
 *
 * check_unit.c: would a systemd service be served at its next start, and is it now? (check.h)
 */
#include "check.h"
#include "check_holders.h"
#include "go_program.h"
#include "tool.h"
#include "unit_state.h"
#include "units.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what it starts --- */

static bool is_shell(const char *path)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    return strcmp(name, "sh") == 0 || strcmp(name, "bash") == 0 || strcmp(name, "dash") == 0;
}

/* "/path ..." of the last `exec /path` in a shell's command text; NULL: there is none. */
static const char *exec_in(const char *command)
{
    const char *last = NULL;
    for (const char *at = command; (at = strstr(at, "exec /")); at++)
        last = at + 5;
    return last;
}

/* Behind `ppshim run ... --`; false, and *at stays: it does not begin so. */
static bool skip_run(const char **at)
{
    const char *here = *at;
    bool good = true;
    char *word = tool_next_word(&here, &good);
    const char *name = word ? strrchr(word, '/') : NULL;
    bool ours = name && strcmp(name, "/ppshim") == 0, found = false;
    free(word);
    while (ours && !found && (word = tool_next_word(&here, &good))) {
        found = strcmp(word, "--") == 0;
        free(word);
    }
    if (found)
        *at = here;
    return found;
}

/* What a command line starts, and how. */
struct started {
    char *program;         /* NULL: nothing */
    bool by_run, by_shell; /* `ppshim run` starts that very program; a shell does */
};

static struct started in_shell(const char *command)
{
    struct started s = {.by_shell = true};
    const char *at = exec_in(command);
    s.by_run = at && skip_run(&at);
    at = at ? at + strspn(at, " \t") : NULL;
    s.program = at ? strndup(at, strcspn(at, " \t\n;&|\"'")) : NULL;
    return s;
}

static struct started read_command(const char *at)
{
    bool good = true;
    struct started s = {.by_run = skip_run(&at)}, inner = {.program = NULL};
    s.program = tool_next_word(&at, &good);
    for (char *word; s.program && is_shell(s.program) && !inner.program && (word = tool_next_word(&at, &good));) {
        inner = in_shell(word);
        free(word);
    }
    if (!inner.program)
        return s;
    free(s.program);
    return inner;
}

static struct started read_start(const struct tool_unit *unit)
{
    struct started s = {.program = NULL};
    if (*unit->cluster) { /* /etc/postgresql/15/main */
        const char *version = unit->cluster + strlen("/etc/postgresql/");
        s.program = tool_text("/usr/lib/postgresql/%.*s/bin/postgres", (int)strcspn(version, "/"), version);
    } else if (unit->exec_start) {
        s = read_command(unit->exec_start + strspn(unit->exec_start, "-@:+!|"));
    }
    char *full = s.program ? tool_text("%s%s", unit->root, s.program) : NULL;
    free(s.program);
    s.program = full;
    return s;
}

char *tool_unit_program(const struct tool_unit *unit)
{
    return read_start(unit).program;
}

enum tool_lacks tool_unit_lacks_run(const struct tool_unit *unit)
{
    struct tool_go go;
    struct started s = read_start(unit);
    bool lacks =
        s.program && !s.by_run && tool_go_read(s.program, NULL, &go) && go.is_go && go.is_static && !go.why_not;
    free(s.program);
    if (!lacks)
        return TOOL_LACKS_NOTHING;
    bool named = unit->exec_start[strspn(unit->exec_start, "-:+!|")] == '@';
    return s.by_shell || named ? TOOL_LACKS_RUN_INSIDE : TOOL_LACKS_RUN;
}

/* --- judgements --- */

static void warn_of_sandbox(struct tool_report *r, const struct tool_unit *unit)
{
    static const char *const lists[] = {"PPSHIM_TRUST", "PPSHIM_HEADER_OPTIONAL", "PPSHIM_CLIENT_ALLOW",
                                        "PPSHIM_CLIENT_DENY", "PPSHIM_LIMIT_EXEMPT"};
    static const char *const homes[] = {"@/home/", "@/root/", "@/run/user/"}, *const temporary[] = {"@/tmp/",
                                                                                                    "@/var/tmp/"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const char *text = tool_env_value(&unit->env, lists[i]);
        for (size_t k = 0; text && k < 3; k++)
            if (unit->protects_home && strstr(text, homes[k]))
                tool_judge(r, TOOL_VERDICT_NO, "%s names a file in %s, which ProtectHome= hides from the service",
                           lists[i], homes[k] + 1);
        for (size_t k = 0; text && k < 2; k++)
            if (unit->private_tmp && strstr(text, temporary[k]))
                tool_judge(r, TOOL_VERDICT_NO, "%s names a file in %s, and PrivateTmp= gives the service another one",
                           lists[i], temporary[k] + 1);
        if (text && unit->own_root && strchr(text, '@'))
            tool_warn(r, "sandbox", "%s names a file, and the service has a root directory of its own", lists[i]);
    }
}

static void judge_start(struct tool_report *r, const struct tool_unit *unit)
{
    enum tool_lacks lacks = tool_unit_lacks_run(unit);
    if (lacks == TOOL_LACKS_RUN)
        tool_judge(
            r, TOOL_VERDICT_NO,
            "it is a static Go program, and ExecStart= does not start it by ppshim run: ppshim unit writes that");
    if (lacks == TOOL_LACKS_RUN_INSIDE)
        tool_judge(
            r, TOOL_VERDICT_NO,
            "it is a static Go program, and ExecStart= starts it by a shell, or under another name (@), where "
            "ppshim unit cannot write: let it say ppshim run --trust LIST --ports PORTS -- and the program there");
}

static void judge_filters(struct tool_report *r, const struct tool_unit *unit, const char *program)
{
    struct tool_go go = {.is_go = false};
    if (program)
        tool_go_read(program, NULL, &go);
    tool_check_filters(r, unit, &go);
}

/* Each connection is its standard input, and the library looks at that one for a header. */
static bool is_given_connections(const struct tool_unit *unit)
{
    const char *inherited = tool_env_value(&unit->env, "PPSHIM_INHERITED");
    return unit->on_socket && inherited && strcmp(inherited, "on") == 0;
}

static void judge_socket(struct tool_report *r, const struct tool_unit *unit)
{
    if (unit->on_socket && !is_given_connections(unit))
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "StandardInput=socket: if it is started for each connection (Accept=yes of its socket), it needs "
                   "PPSHIM_INHERITED=on (INETD SERVICES in man libppshim)");
}

/* `without_program`: what it starts is looked at elsewhere, or not at all. */
void tool_check_unit_files(struct tool_report *r, const struct tool_unit *unit, const char *library,
                           bool without_program)
{
    char *ours = tool_check_preload(r, unit, library), *program = tool_unit_program(unit),
         *full = ours ? tool_text("%s%s", unit->root, ours) : NULL;
    const char *trust = tool_env_value(&unit->env, "PPSHIM_TRUST");
    if (unit->missing_file)
        tool_judge(r, TOOL_VERDICT_NO, "its EnvironmentFile=%s is not there", unit->missing_file);
    tool_check_settings(r, &unit->env, unit->root, tool_unit_user(unit));
    if (trust && strcmp(trust, "none") == 0)
        tool_judge(r, TOOL_VERDICT_NO, "PPSHIM_TRUST is none: the shim is off on purpose");
    if (unit->root_image)
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "RootImage=: what is in the image is not looked at; start it, then check it");
    judge_socket(r, unit);
    judge_start(r, unit);
    warn_of_sandbox(r, unit);
    judge_filters(r, unit, program);
    if (program && !without_program) {
        tool_check_program(r, program, full ? full : library, !is_given_connections(unit));
        tool_note_handing_on(r, program, &unit->env);
    }
    if (!unit->prevents_restart && ours && !*unit->cluster)
        tool_warn(r, "restart", "without RestartPreventExitStatus=78 a wrong setting may restart it for ever");
    free(ours);
    free(full);
    free(program);
}

/* Where it cannot be one that is served, whatever it is given. */
static bool judge_kind(struct tool_report *r, const struct tool_unit *unit)
{
    char *others = tool_unit_stands_for(unit);
    if (unit->masked)
        tool_judge(r, TOOL_VERDICT_NO, "it is masked (%s)", unit->path);
    else if (others)
        tool_judge(r, TOOL_VERDICT_NO, "it starts no server itself: name one of those that do: %s", others);
    bool good = !unit->masked && !others;
    free(others);
    return good;
}

void tool_check_unit(struct tool_report *r, const struct tool_unit *unit, const char *library)
{
    struct tool_unit_state now = {0};
    bool asked = !*unit->root && tool_unit_state_ask(unit->name, &now);
    if (!judge_kind(r, unit))
        return;
    tool_note(r, "unit", "%s%s%s", unit->path, asked ? ", " : "", now.active);
    tool_check_unit_files(r, unit, library, now.main_pid > 0);
    if (asked && now.reload)
        tool_warn(r, "reload", "its files changed since systemd read them: systemctl daemon-reload");
    if (now.main_pid > 0) {
        tool_note(r, "process", "%d", (int)now.main_pid);
        tool_check_process(r, now.main_pid, &unit->env);
    }
    tool_judge_ok(r, "%s", now.main_pid > 0 ? "it is served" : "its next start will be served");
}

void tool_check_next_start(struct tool_report *r, const struct tool_unit *unit, const char *library)
{
    struct tool_unit_state now = {0};
    if (!judge_kind(r, unit))
        return;
    tool_check_unit_files(r, unit, library, false);
    if (!*unit->root && tool_unit_state_ask(unit->name, &now) && now.main_pid > 0)
        tool_warn_unreachable_of(r, now.main_pid, &unit->env);
    tool_judge_ok(r, "its next start will be served");
}
