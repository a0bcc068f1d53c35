/* SPDX-License-Identifier: MIT
 *
 * check_settings.c: would the library accept these variables? (check.h)
 *
 * The library's own code answers: config.c for the values, trust.c for the lists and their files. The files are read in
 * a child that became the service's user first, for that is who will have to read them.
 */
#include "as_user.h"
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <ppshim/config.h>
#include <ppshim/trust.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pps_config config; /* trust.c wants it to live for ever */

/* The place of the variable that an error of ours begins with; NULL: it names none. */
static const char *place_of(const struct tool_env *env, const char *error)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(error, "="), error);
    const struct tool_variable *v = tool_env_find(env, name);
    return v ? v->where : NULL;
}

static void refuse(struct tool_report *r, const struct tool_env *env, const char *error, const char *read_as)
{
    const char *where = place_of(env, error);
    tool_judge(r, TOOL_VERDICT_CONFIG, "%s%s%s%s%s%s", where ? where : "", where ? ": " : "", error,
               read_as ? " (read as user " : "", read_as ? read_as : "", read_as ? ")" : "");
}

/* --- as the service's user --- */

_Noreturn static void load_in_child(int to, const char *root, const struct passwd *user)
{
    char error[PPS_ERROR_TEXT] = "";
    if (!tool_become_user(root, user))
        snprintf(error, sizeof error, "cannot become the service's user: %s", strerror(errno));
    else
        pps_trust_load(&config, error);
    size_t length = strlen(error);
    _exit(write(to, error, length) == (ssize_t)length ? 0 : 1);
}

/* Into `error`: "" when the lists are good. */
static bool load_lists(const char *root, const struct passwd *user, char error[PPS_ERROR_TEXT])
{
    int pipe_fds[2], status;
    size_t have = 0;
    ssize_t n;
    fflush(stdout);
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0)
        load_in_child(pipe_fds[1], root, user);
    close(pipe_fds[1]);
    while (child > 0 && have < PPS_ERROR_TEXT - 1 &&
           (n = read(pipe_fds[0], error + have, PPS_ERROR_TEXT - 1 - have)) > 0)
        have += (size_t)n;
    error[have] = 0;
    close(pipe_fds[0]);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether the library would take this vector; else its error is judged. */
static bool judge_vector(struct tool_report *r, const struct tool_env *env, char *const *vector)
{
    char error[PPS_ERROR_TEXT];
    if (pps_config_read(vector, &config, error))
        return true;
    refuse(r, env, error, NULL);
    return false;
}

/* The library stops at the first that is wrong: each by itself, so that all are told. */
static bool judge_each(struct tool_report *r, const struct tool_env *env)
{
    bool good = true;
    for (size_t i = 0; i < env->count; i++) {
        char *text = env->variables[i].text;
        bool is_list = strncmp(text, "PPSHIM_TRUST=", 13) == 0 || strncmp(text, "PPSHIM_HEADER_OPTIONAL=", 23) == 0;
        if (strncmp(text, "PPSHIM_", 7) == 0) /* any but a list needs one */
            good &= judge_vector(r, env, (char *[]){text, is_list ? NULL : (char *)"PPSHIM_TRUST=none", NULL});
    }
    return good;
}

static bool names_a_file(const struct tool_env *env)
{
    for (size_t i = 0; i < env->count; i++)
        if (strncmp(env->variables[i].text, "PPSHIM_", 7) == 0 && strchr(env->variables[i].text, '@'))
            return true;
    return false;
}

static void judge_lists(struct tool_report *r, const struct tool_env *env, const char *root, const char *user)
{
    char error[PPS_ERROR_TEXT] = "";
    struct passwd entry;
    bool root_here = geteuid() == 0, change = root_here && user && *user,
         known = change && tool_find_user(root, user, &entry);
    if (change && !known && names_a_file(env))
        tool_warn(r, "user", "there is no user %s yet: list files were read as root", user);
    if (*root && !root_here) {
        if (names_a_file(env))
            tool_warn(r, "lists", "files named by lists below another root can be read by root only: not looked at");
        return;
    }
    if (!load_lists(root, known ? &entry : NULL, error))
        tool_judge(r, TOOL_VERDICT_UNSURE, "the lists could not be looked at");
    else if (*error)
        refuse(r, env, error, known ? user : NULL);
}

static void note_variables(struct tool_report *r, const struct tool_env *env)
{
    for (size_t i = 0; i < env->count; i++) {
        const struct tool_variable *v = &env->variables[i];
        if (strncmp(v->text, "PPSHIM_", 7) == 0)
            tool_note(r, "setting", "%s (%s)", v->text, v->where);
        else if (strncmp(v->text, "LD_PRELOAD=", 11) == 0)
            tool_note(r, "preload", "%s (%s)", v->text, v->where);
    }
}

static void judge_ignored(struct tool_report *r, const struct tool_env *env)
{
    for (size_t i = 0; i < env->ignored_count; i++)
        tool_judge(r, TOOL_VERDICT_CONFIG, "%s: %s sets nothing: write NAME=value, in quotes if there is a space in it",
                   env->ignored[i].where, env->ignored[i].text);
}

void tool_check_settings(struct tool_report *r, const struct tool_env *env, const char *root, const char *user)
{
    char **vector = tool_env_vector(env);
    judge_ignored(r, env);
    note_variables(r, env);
    bool good = judge_each(r, env) && judge_vector(r, env, vector);
    if (good && config.on)
        judge_lists(r, env, root, user);
    else if (good && tool_env_value(env, "PPSHIM_TRUST"))
        tool_warn(r, "off", "PPSHIM_TRUST is none: the shim is off");
    else if (good)
        tool_judge(r, TOOL_VERDICT_NO, "neither PPSHIM_TRUST nor PPSHIM_HEADER_OPTIONAL is set: the shim is off");
    free(vector);
}
