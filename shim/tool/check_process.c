/* SPDX-License-Identifier: MIT
 *
 * check_process.c: is this process served? (check.h) What /proc says of it, and nothing else: it is not disturbed.
 */
#include "check.h"
#include "elf.h"
#include <errno.h>
#include <limits.h>
#include <ppshim/config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SKIP_6 " %*s %*s %*s %*s %*s %*s"
#define SKIP_18 SKIP_6 SKIP_6 SKIP_6 /* of /proc/PID/stat, between the state and the time of start */

#define CLOCKS_DIFFER 0.02 /* seconds: the time of start is told in ticks, a file's in jiffies */

struct process {
    pid_t pid;
    char program[PATH_MAX]; /* "" if it cannot be seen */
    struct tool_elf elf;    /* of its program */
    struct tool_env env;    /* as it started, unless it wrote over it */
    bool sees_env;
    bool loaded, read_only, deleted; /* the library: an executable mapping; any mapping; of a file that is gone */
    char library[PATH_MAX], range[64];
};

static bool proc_path(char out[PATH_MAX], pid_t pid, const char *rest)
{
    return snprintf(out, PATH_MAX, "/proc/%d/%s", (int)pid, rest) < PATH_MAX;
}

static FILE *proc_open(pid_t pid, const char *rest)
{
    char path[PATH_MAX];
    return proc_path(path, pid, rest) ? fopen(path, "re") : NULL;
}

/* --- the library in its memory --- */

static bool names_library(const char *path)
{
    const char *name = strrchr(path, '/');
    return strncmp(name ? name + 1 : path, "libppshim", 9) == 0;
}

static void take_mapping(struct process *p, char *line)
{
    static const char gone[] = " (deleted)";
    char range[64], permissions[8];
    int path = 0;
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "%63s %7s %*s %*s %*s %n", range, permissions, &path) < 2 || !path || !names_library(line + path))
        return;
    size_t length = strlen(line + path), tail = sizeof gone - 1;
    if (length > tail && strcmp(line + path + length - tail, gone) == 0) {
        p->deleted = true;
        length -= tail;
    }
    if (!*p->library) {
        snprintf(p->library, sizeof p->library, "%.*s", (int)length, line + path);
        snprintf(p->range, sizeof p->range, "%s", range);
    }
    p->read_only = true;
    p->loaded |= permissions[2] == 'x';
}

static bool read_maps(struct process *p)
{
    char *line = NULL;
    size_t size = 0;
    FILE *file = proc_open(p->pid, "maps");
    while (file && getline(&line, &size, file) > 0)
        take_mapping(p, line);
    free(line);
    bool good = file && !ferror(file);
    if (file)
        fclose(file);
    return good;
}

/* The library that is mapped (seen by root only, once its file is gone), and the one that a restart would map. */
static void judge_version(struct tool_report *r, const struct process *p)
{
    char path[PATH_MAX], rest[PATH_MAX + 8], error[256];
    struct tool_elf mapped = {0}, installed = {0};
    snprintf(rest, sizeof rest, "map_files/%s", p->range);
    bool sees_mapped = proc_path(path, p->pid, rest) && tool_elf_read(path, &mapped, error);
    snprintf(rest, sizeof rest, "root%s", p->library);
    bool sees_installed = proc_path(path, p->pid, rest) && tool_elf_read(path, &installed, error);
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

/* --- how it was started --- */

static bool is_secure(const struct process *p)
{
    unsigned long pair[2];
    uint32_t small[2];
    bool secure = false;
    FILE *file = proc_open(p->pid, "auxv");
    if (p->elf.bits == 32 && sizeof(long) == 8)
        while (file && fread(small, sizeof small, 1, file) == 1)
            secure |= small[0] == AT_SECURE && small[1];
    else
        while (file && fread(pair, sizeof pair, 1, file) == 1)
            secure |= pair[0] == AT_SECURE && pair[1];
    if (file)
        fclose(file);
    return secure;
}

static bool read_environment(struct process *p)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = proc_open(p->pid, "environ");
    while (file && getdelim(&text, &size, 0, file) > 0)
        if ((strncmp(text, "PPSHIM_", 7) == 0 || strncmp(text, "LD_PRELOAD=", 11) == 0) && strchr(text, '=') &&
            !tool_env_find(&p->env, text)) /* the first counts, as getenv has it */
            tool_env_set(&p->env, text, "its environment", 0);
    free(text);
    if (file)
        fclose(file);
    p->sees_env = p->env.count;
    return file;
}

/* --- judgements --- */

static void judge_absence(struct tool_report *r, const struct process *p, const struct tool_env *unit)
{
    const char *now = unit ? tool_env_value(unit, "LD_PRELOAD") : NULL;
    const char *preload = tool_env_value(&p->env, "LD_PRELOAD");
    if (p->elf.is_go || (p->elf.elf && !p->elf.dynamic))
        tool_judge(r, TOOL_VERDICT_NO, "no preload reaches it: %s",
                   p->elf.is_go ? "a Go program" : "statically linked");
    else if (is_secure(p))
        tool_judge(r, TOOL_VERDICT_NO,
                   "it was started with privileges of its file (AT_SECURE: setuid, setgid, file "
                   "capabilities or a security module), so LD_PRELOAD was ignored");
    else if (p->read_only)
        tool_judge(r, TOOL_VERDICT_NO,
                   "the library could not be loaded: %s is mapped, but not executable (NoExecPaths= "
                   "or a noexec mount): install it in /usr/lib",
                   p->library);
    else if (preload && strstr(preload, "libppshim"))
        tool_judge(r, TOOL_VERDICT_NO,
                   "LD_PRELOAD=%s is in its environment, but the library was not loaded: not there "
                   "when it started, not readable for it, or of another architecture or libc",
                   preload);
    else if (now && strstr(now, "libppshim"))
        tool_judge(r, TOOL_VERDICT_NO, "a restart is needed: it was started without the library");
    else
        tool_judge(r, TOOL_VERDICT_NO, "the library is not loaded");
}

/* Against what the unit's files say now. */
static void judge_changes(struct tool_report *r, const struct process *p, const struct tool_env *unit)
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
    char line[1024] = "";
    unsigned long long ticks;
    FILE *file = proc_open(pid, "stat");
    const char *rest = file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    if (file)
        fclose(file);
    if (!rest || sscanf(rest, ") %*c" SKIP_18 " %llu", &ticks) != 1)
        return 0;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return seconds(now) - (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* It shows no environment to compare: were the files written to since it was started? */
static void judge_ages(struct tool_report *r, const struct process *p, const struct tool_env *unit)
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

static void judge_settings(struct tool_report *r, const struct process *p, const struct tool_env *unit)
{
    static struct pps_config config;
    char error[PPS_ERROR_TEXT];
    const struct tool_env *env = p->sees_env ? &p->env : unit;
    bool known = false;
    if (env) {
        char **vector = tool_env_vector(env);
        known = pps_config_read(vector, &config, error);
        free(vector);
        if (!known)
            tool_judge(r, TOOL_VERDICT_CONFIG, "%s", error);
    } else {
        tool_judge(r, TOOL_VERDICT_UNSURE,
                   "the library is loaded, but the program has overwritten its environment, so its "
                   "settings cannot be seen: check its unit");
    }
    for (size_t i = 0; p->sees_env && i < p->env.count; i++)
        tool_note(r, "setting", "%s", p->env.variables[i].text);
    if (!p->sees_env && unit)
        tool_note(r, "setting", "it has overwritten its environment: its unit's settings are taken to be in force");
    struct tool_listeners found = tool_note_listeners(r, p->pid, known ? &config : NULL);
    if (known && !config.on)
        tool_judge(r, TOOL_VERDICT_NO, "the library is loaded but off: PPSHIM_TRUST is none, or no list is set");
    else if (known && !found.governed)
        tool_judge(r, TOOL_VERDICT_NO,
                   found.all ? "it listens on no port that PPSHIM_PORTS names" : "it listens on no TCP port");
    if (unit)
        (p->sees_env ? judge_changes : judge_ages)(r, p, unit);
}

static bool read_process(struct process *p, pid_t pid, struct tool_report *r)
{
    char path[PATH_MAX], error[256];
    *p = (struct process){.pid = pid};
    proc_path(path, pid, "exe");
    ssize_t n = readlink(path, p->program, sizeof p->program - 1);
    if (n < 0) {
        tool_judge(r, TOOL_VERDICT_NO,
                   errno == ENOENT ? "there is no such process" : "it cannot be looked at: try as root");
        return false;
    }
    p->program[n] = 0;
    tool_elf_read(path, &p->elf, error);
    return true;
}

void tool_check_process(struct tool_report *r, pid_t pid, const struct tool_env *unit)
{
    struct process p;
    if (!read_process(&p, pid, r))
        return;
    tool_note(r, "program", "%s", p.program);
    if (!read_maps(&p) || !read_environment(&p))
        tool_judge(r, TOOL_VERDICT_NO, "it cannot be looked at: try as root");
    else if (!p.loaded)
        judge_absence(r, &p, unit);
    else {
        judge_version(r, &p);
        if (is_secure(&p))
            tool_judge(r, TOOL_VERDICT_NO,
                       "it was started with privileges of its file (AT_SECURE): the library is off");
        judge_settings(r, &p, unit);
    }
    tool_judge_ok(r, "the library is loaded and governs what it listens to");
    tool_env_free(&p.env);
    tool_elf_free(&p.elf);
}
