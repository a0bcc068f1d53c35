/* SPDX-License-Identifier: MIT
 *
 * unit_dropin.c: the drop-in that `ppshim unit` writes, and writing files whole or not at all (unit.h).
 */
#include "check.h"
#include "preload.h"
#include "tool.h"
#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As Environment= reads it back: a quoted word, with systemd's escapes and specifiers (%) out of force. */
static void put_quoted(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 0x7f)
            fprintf(to, "\\x%02x", c);
        else
            fprintf(to, "%s%c", c == '"' || c == '\\' ? "\\" : c == '%' ? "%" : "", c);
    }
    fputc('"', to);
}

static char *dropin_path(const struct tool_unit *u)
{
    return tool_text("/etc/systemd/system/%s.d/" UNIT_DROPIN, u->name);
}

static bool is_preload(const struct tool_variable *v)
{
    return strncmp(v->text, "LD_PRELOAD=", 11) == 0;
}

static char *preload_path(const struct tool_unit *u)
{
    return tool_text("/etc/systemd/system/%s.d/" UNIT_PRELOAD, u->name);
}

static void put_option(FILE *to, const char *value, const char *option)
{
    if (!value)
        return;
    fprintf(to, " --%s ", option);
    put_quoted(to, value);
}

/* What the unit starts, by `ppshim run`. Its words stay as they are; specifiers in them were expanded. */
static void put_run(FILE *to, const struct tool_unit *u, const struct tool_env *wanted)
{
    size_t prefix = strspn(u->exec_start, "-:+!");
    const char *preload = tool_env_value(wanted, "LD_PRELOAD");
    char *tool = *u->root ? NULL : tool_beside("ppshim");
    fprintf(to, "ExecStart=\nExecStart=%.*s%s run", (int)prefix, u->exec_start, tool ? tool : "/usr/bin/ppshim");
    put_option(to, tool_env_value(wanted, "PPSHIM_TRUST"), "trust");
    put_option(to, tool_env_value(wanted, "PPSHIM_HEADER_OPTIONAL"), "header-optional");
    put_option(to, tool_env_value(wanted, "PPSHIM_PORTS"), "ports");
    put_option(to, strrchr(preload, ':') ? strrchr(preload, ':') + 1 : preload, "library"); /* ours is the last */
    fputs(" -- ", to);
    for (const char *c = u->exec_start + prefix; *c; c++)
        fprintf(to, "%s%c", *c == '%' ? "%" : "", *c);
    fputc('\n', to);
    free(tool);
}

static void put_variables(FILE *to, const struct tool_unit *u, const struct tool_env *wanted, bool by_file)
{
    for (size_t i = 0; i < wanted->count; i++) {
        if (by_file && is_preload(&wanted->variables[i]))
            continue;
        fputs("Environment=", to);
        put_quoted(to, wanted->variables[i].text);
        fputc('\n', to);
    }
    if (by_file) {
        char *path = preload_path(u);
        fprintf(to, "# LD_PRELOAD, which another file of the service sets: the last one counts.\nEnvironmentFile=%s\n",
                path);
        free(path);
    }
    if (tool_unit_lacks_run(u) == TOOL_LACKS_RUN)
        put_run(to, u, wanted);
    fputs("# A wrong setting is exit status 78: starting again would not mend it.\nRestartPreventExitStatus=78\n", to);
}

int unit_preload_text(const struct tool_unit *u, const struct tool_env *wanted, char **path, char **text)
{
    *path = preload_path(u);
    for (size_t i = 0; i < wanted->count; i++)
        if (is_preload(&wanted->variables[i]))
            *text = tool_text("# Written by ppshim unit, for " UNIT_DROPIN ".\n%s\n", wanted->variables[i].text);
    return TOOL_OK;
}

int unit_dropin_text(const struct tool_unit *u, const struct tool_env *wanted, const char *guard, bool by_file,
                     char **path, char **text)
{
    size_t size;
    FILE *to = open_memstream(text, &size);
    if (!to)
        return tool_fail(TOOL_NO, "unit", "no memory");
    *path = dropin_path(u);
    fprintf(to, "# Written by ppshim unit; ppshim unit %s --remove takes it away.\n[Service]\n", u->name);
    if (wanted)
        put_variables(to, u, wanted, by_file);
    if (guard)
        fprintf(to,
                "# The dynamic linker goes on without a library that it cannot load: then the service shall not run.\n"
                "ExecStartPost=+%s check --loaded $MAINPID\n",
                guard);
    fclose(to);
    return TOOL_OK;
}

int unit_dropin_remove(const struct tool_unit *u, char **path, bool *changed)
{
    char full[PATH_MAX];
    char *preload = tool_text("%s%s/" UNIT_PRELOAD, u->root, dirname(*path = dropin_path(u)));
    unlink(preload);
    free(preload);
    free(*path);
    *path = dropin_path(u);
    if (snprintf(full, sizeof full, "%s%s", u->root, *path) >= (int)sizeof full)
        return tool_fail(TOOL_NO, "unit", "%s: the path is too long", *path);
    *changed = unlink(full) == 0;
    if (!*changed && errno != ENOENT)
        return tool_fail(TOOL_NO, "unit", "%s: %s", full, strerror(errno));
    if (*changed)
        rmdir(dirname(full)); /* stays if something else is in it */
    return TOOL_OK;
}

/* --- writing --- */

static bool make_directories(char *path, size_t from)
{
    for (char *at = path + from + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        int made = mkdir(path, 0755);
        *at = '/';
        if (made != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

/* The mode and, where it must stay, the owner that the new file is to have. A link is not followed: the directory may
   belong to somebody who would lead us astray. */
static bool wanted_stat(const char *full, bool keep_owner, struct stat *st)
{
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", full);
    if (!keep_owner)
        *st = (struct stat){.st_mode = S_IFREG | 0644, .st_uid = geteuid(), .st_gid = getegid()};
    else if (lstat(full, st) != 0) {
        if (errno != ENOENT || stat(dirname(directory), st) != 0)
            return false;
        st->st_mode = S_IFREG | 0644;
    }
    errno = EINVAL;
    return S_ISREG(st->st_mode);
}

static bool write_beside(const char *full, const char *temporary, const char *text, const struct stat *like)
{
    size_t length = strlen(text);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool good = write(fd, text, length) == (ssize_t)length;
    good = good && (like->st_uid == geteuid() || fchown(fd, like->st_uid, like->st_gid) == 0);
    good = good && fchmod(fd, like->st_mode & 07777) == 0 && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (good && rename(temporary, full) == 0)
        return true;
    int saved = errno;
    unlink(temporary);
    errno = saved;
    return false;
}

int unit_write(const char *root, const char *path, const char *text, bool keep_owner, bool *changed)
{
    char full[PATH_MAX], temporary[PATH_MAX];
    struct stat like;
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full ||
        snprintf(temporary, sizeof temporary, "%s.%d~", full, (int)getpid()) >= (int)sizeof temporary)
        return tool_fail(TOOL_NO, "unit", "%s: the path is too long", path);
    char *now = tool_slurp(full, NULL);
    *changed = !now || strcmp(now, text) != 0;
    free(now);
    if (!*changed)
        return TOOL_OK;
    if (!make_directories(full, strlen(root)) || !wanted_stat(full, keep_owner, &like) ||
        !write_beside(full, temporary, text, &like))
        return tool_fail(TOOL_NO, "unit", "%s: %s", full, strerror(errno));
    return TOOL_OK;
}
