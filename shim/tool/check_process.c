/* SPDX-License-Identifier: MIT
 *
 * check_process.c: is this process served? (check.h) What /proc says of it, and nothing else: it is not disturbed.
 */
#include "check.h"
#include "check_holders.h"
#include "go_image.h"
#include "image.h"
#include "proc.h"
#include "processes.h"
#include <errno.h>
#include <limits.h>
#include <ppshim/config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CLOCKS_DIFFER 0.02 /* seconds: the time of start is told in ticks, a file's in jiffies */

/* The library that is mapped (seen by root only, once its file is gone), and the one that a restart would map. */
static void judge_version(struct tool_report *r, const struct tool_image *p)
{
    char path[PATH_MAX], rest[PATH_MAX + 8], error[256];
    struct tool_elf mapped = {0}, installed = {0};
    snprintf(rest, sizeof rest, "map_files/%s", p->range);
    bool sees_mapped = tool_proc_path(path, p->pid, rest) && tool_elf_read(path, &mapped, error);
    snprintf(rest, sizeof rest, "root%s", p->library);
    bool sees_installed = tool_proc_path(path, p->pid, rest) && tool_elf_read(path, &installed, error);
    const struct tool_elf *known = sees_mapped ? &mapped : sees_installed && !p->deleted ? &installed : NULL;
    if (known)
        tool_note(r, "loaded", "%s, version %s, build %s", p->library, known->version, known->build_id);
    else
        tool_note(r, "loaded", "%s", p->library);
    if (p->deleted && !sees_installed)
        tool_judge(r, TOOL_VERDICT_NO, "it runs with a library that is no longer installed: %s", p->library);
    else if (p->deleted && sees_mapped && strcmp(mapped.build_id, installed.build_id) == 0)
        tool_note(r, "replaced", "the file was replaced by the same build: no need to restart");
    else if (p->deleted)
        tool_judge(r, TOOL_VERDICT_NO, "a restart is needed: the library was replaced%s%s while it ran",
                   *installed.version ? " by version " : "", installed.version);
    tool_elf_free(&mapped);
    tool_elf_free(&installed);
}

/* The image, and the one that a restart by this tool would put there. */
static void judge_injected(struct tool_report *r, const struct tool_image *p)
{
    bool same = tool_go_image_is_in(p->pid, p->gate.at);
    tool_note(r, "loaded", "put there by ppshim run, version %s", p->gate.version);
    if (!same)
        tool_judge(r, TOOL_VERDICT_NO,
                   "a restart is needed: the shim in it is version %s, and this ppshim would put %s", p->gate.version,
                   strcmp(p->gate.version, PPS_VERSION) == 0 ? "another build of that there" : PPS_VERSION " there");
}

/* Against what the unit's files say now. */
static void judge_changes(struct tool_report *r, const struct tool_image *p, const struct tool_env *unit)
{
    for (size_t i = 0; i < unit->count; i++) {
        const char *now = unit->variables[i].text;
        const struct tool_variable *live = tool_env_find(&p->env, now);
        if (strncmp(now, "PPSHIM_", 7) == 0 && (!live || strcmp(live->text, now) != 0))
            tool_judge(r, TOOL_VERDICT_NO, "a restart is needed: its unit now says %s", now);
    }
    for (size_t i = 0; i < p->env.count; i++) {
        const char *live = p->env.variables[i].text;
        if (strncmp(live, "PPSHIM_", 7) == 0 && !tool_env_find(unit, live))
            tool_judge(r, TOOL_VERDICT_NO, "a restart is needed: its unit no longer says %s", live);
    }
}

static double seconds(struct timespec t)
{
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds since the process was started; 0 if that cannot be said. */
static double age_of(pid_t pid)
{
    struct timespec now;
    struct tool_proc_stat stat;
    if (!tool_proc_stat(pid, &stat))
        return 0;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return seconds(now) - (double)stat.started / 1e9;
}

/* It shows no environment to compare: were the files written to since it was started? */
static void judge_ages(struct tool_report *r, const struct tool_image *p, const struct tool_env *unit)
{
    struct timespec now;
    struct stat st;
    double age = age_of(p->pid);
    clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < unit->count; i++) {
        char path[PATH_MAX];
        const char *where = unit->variables[i].where;
        snprintf(path, sizeof path, "%.*s", (int)strcspn(where, ":"), where);
        if (stat(path, &st) == 0 && seconds(now) - seconds(st.st_mtim) < age - CLOCKS_DIFFER)
            tool_judge(r, TOOL_VERDICT_NO, "a restart is needed: %s was changed after it was started", path);
    }
}

static bool sum_of(const struct tool_env *env, uint32_t *sum)
{
    static struct pps_config config;
    char error[PPS_ERROR_TEXT];
    char **vector = tool_env_vector(env);
    bool good = pps_config_read(vector, &config, error);
    free(vector);
    *sum = config.checksum;
    return good;
}

/* What the unit gives now against what is in force: by their sums, where the process tells its own. */
static void judge_unit(struct tool_report *r, const struct tool_image *p, const struct tool_env *unit)
{
    uint32_t given;
    if (p->sees_env)
        judge_changes(r, p, unit);
    else if (p->tells && sum_of(unit, &given) && p->settings != given)
        tool_judge(r, TOOL_VERDICT_NO, "a restart is needed: it runs with other settings than its unit gives now");
    else if (!p->tells)
        judge_ages(r, p, unit);
}

/* What is in force: of the environment, of the memory of the process, or of its unit. */
struct settings {
    const struct tool_env *env;      /* NULL: cannot be seen */
    const struct pps_config *config; /* NULL: neither, or wrong */
};

static const struct pps_config *read_config(struct tool_report *r, const struct tool_env *env,
                                            struct pps_config *config)
{
    char error[PPS_ERROR_TEXT];
    char **vector = tool_env_vector(env);
    bool good = pps_config_read(vector, config, error);
    free(vector);
    if (!good)
        tool_judge(r, TOOL_VERDICT_CONFIG, "%s", error);
    return good ? config : NULL;
}

static struct settings settings_of(struct tool_report *r, const struct tool_image *p, const struct tool_env *unit)
{
    static struct pps_config config;
    if (p->sees_env) {
        for (size_t i = 0; i < p->env.count; i++)
            tool_note(r, "setting", "%s", p->env.variables[i].text);
        return (struct settings){&p->env, read_config(r, &p->env, &config)};
    }
    if (tool_image_config(p, &config)) {
        tool_note(r, "setting", "it has overwritten its environment: what is in force was read in its memory");
        return (struct settings){unit, &config};
    }
    if (!unit) {
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "the library is loaded, but the program has overwritten its environment, so its "
                   "settings cannot be seen: check its unit");
        return (struct settings){0};
    }
    tool_note(r, "setting", "it has overwritten its environment: its unit's settings are taken to be in force");
    return (struct settings){unit, read_config(r, unit, &config)};
}

static void note_way(struct tool_report *r, const struct tool_image *p)
{
    const char *go = *p->go.version ? p->go.version : "Go of a version that it does not tell";
    if (!p->loaded || p->secure || p->accepts == TOOL_ACCEPTS_UNHINDERED)
        tool_note(r, "way", "none");
    else if (tool_image_is_injected(p))
        tool_note(r, "way", "Go by injection: %s; ppshim run has put the shim into it", go);
    else if (p->gate.at)
        tool_note(r, "way", "Go by preload: %s; the library has rewritten where it makes its system calls", go);
    else
        tool_note(r, "way", "preload: the library stands in for calls of libc");
}

static void judge_main(struct tool_report *r, const struct tool_image *p, const struct tool_env *unit)
{
    const char *now = unit ? tool_env_value(unit, "LD_PRELOAD") : NULL;
    note_way(r, p);
    if (p->loaded && p->secure)
        tool_judge(r, TOOL_VERDICT_NO, "it was started with privileges of its file (AT_SECURE): the library is off");
    if (p->loaded && tool_image_is_injected(p))
        judge_injected(r, p);
    else if (p->loaded)
        judge_version(r, p);
    if (p->mute)
        tool_judge(r, TOOL_VERDICT_UNSURE, "%s does not say whether it is on: it is another version, or not libppshim",
                   p->library);
    if (p->loaded && p->accepts != TOOL_ACCEPTS_UNHINDERED)
        return;
    char *why = tool_absence_of(p);
    bool plain = strcmp(why, "the library is not loaded") == 0;
    if (plain && now && strstr(now, "libppshim"))
        tool_judge(r, TOOL_VERDICT_NO, "a restart is needed: it was started without the library");
    else
        tool_judge(r, TOOL_VERDICT_NO, "%s", why);
    tool_note_handing_on(r, p->program, unit);
    free(why);
}

static void judge_settings(struct tool_report *r, const struct tool_image *p, const struct tool_env *unit,
                           struct tool_processes *all)
{
    struct tool_sockets sockets;
    struct settings now = settings_of(r, p, unit);
    const struct pps_config *config = now.config;
    tool_processes_mark(all, p->pid);
    tool_sockets_read(p->pid, &sockets);
    const struct tool_process *self = tool_process_find(all, p->pid);
    struct tool_expected expected = {.main = p,
                                     .env = now.env,
                                     .config = config && config->on ? config : NULL,
                                     .sum = config     ? &config->checksum
                                            : p->tells ? &p->settings
                                                       : NULL,
                                     .unseen = !config && p->tells && p->on};
    struct tool_listeners found = tool_check_holders(r, all, &sockets, &expected);
    if (config && !config->on)
        tool_judge(r, TOOL_VERDICT_NO, "the library is loaded but off: PPSHIM_TRUST is none, or no list is set");
    else if (p->tells && !p->on)
        tool_judge(r, TOOL_VERDICT_NO, "the library is loaded but off");
    else if (config && !found.governed)
        tool_judge(r, TOOL_VERDICT_NO,
                   found.all ? "it listens on no port that PPSHIM_PORTS names" : "it listens on no TCP port");
    if (config)
        tool_warn_unreachable(r, all, &sockets, config);
    if (self && self->io_uring)
        tool_note(r, "io_uring",
                  "it has an io_uring open; connections accepted that way would be out of sight (most use it for files "
                  "only)");
    if (unit)
        judge_unit(r, p, unit);
    tool_sockets_free(&sockets);
}

void tool_check_process_among(struct tool_report *r, pid_t pid, const struct tool_env *unit, struct tool_processes *all)
{
    struct tool_image p;
    bool readable = tool_image_read(&p, pid);
    if (*p.program)
        tool_note(r, "program", "%s", p.program);
    if (!readable)
        tool_judge(r, TOOL_VERDICT_NO,
                   errno == ENOENT || errno == ESRCH ? "there is no such process"
                                                     : "it cannot be looked at: try as root");
    else {
        judge_main(r, &p, unit);
        if (p.loaded)
            judge_settings(r, &p, unit, all);
    }
    tool_judge_ok(r, "the library is loaded and governs what it listens to");
    tool_image_free(&p);
}

void tool_check_process(struct tool_report *r, pid_t pid, const struct tool_env *unit)
{
    struct tool_processes all;
    tool_processes_read(&all);
    tool_check_process_among(r, pid, unit, &all);
    tool_processes_free(&all);
}
