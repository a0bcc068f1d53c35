/* SPDX-License-Identifier: MIT
 *
 * check_preload.c: will the dynamic linker of a service find the library and map it? (check.h) It says next to nothing
 * where it does not: the service then runs without.
 */
#include "../policy/near.h"
#include "as_user.h"
#include "check.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool names_us(const char *entry)
{
    return strncmp(last_part(entry), "libppshim", 9) == 0;
}

static bool may_mean_us(const char *entry)
{
    return names_us(entry) || pps_near_distance(pps_text_of(last_part(entry)), "libppshim.so") <= 3;
}

/* --- what the sandbox shows --- */

/* The length of the longest of these that the path lies in. */
static size_t longest(const struct tool_paths *p, const char *path)
{
    size_t best = 0;
    for (size_t i = 0; i < p->count; i++) {
        size_t length = strlen(p->list[i]);
        while (length && p->list[i][length - 1] == '/')
            length--;
        bool in = strncmp(path, p->list[i], length) == 0 && (path[length] == '/' || path[length] == 0);
        if (in && length + 1 > best)
            best = length + 1;
    }
    return best;
}

const char *tool_unit_hides(const struct tool_unit *u, const char *path)
{
    static char *homes[] = {"/home", "/root", "/run/user"}, *temporary[] = {"/tmp", "/var/tmp"};
    const struct tool_paths home = {homes, 3}, temp = {temporary, 2};
    if (longest(&u->bound, path) > longest(&u->hidden, path) && longest(&u->bound, path))
        return NULL;
    if (u->protects_home && longest(&home, path))
        return "ProtectHome= hides it from the service";
    if (u->private_tmp && longest(&temp, path))
        return "PrivateTmp= gives the service another one";
    if (longest(&u->hidden, path))
        return "InaccessiblePaths= or TemporaryFileSystem= hides it from the service";
    if (longest(&u->no_exec, path) > longest(&u->exec, path))
        return "NoExecPaths= keeps the service from executing it";
    return NULL;
}

/* The user that it is started as, if a file may be out of that one's reach; NULL: it is not, or nobody can tell. */
static const char *keeps_out(const struct tool_unit *u, const char *root, const char *path)
{
    const char *name = tool_unit_user(u);
    struct passwd user;
    bool tells = geteuid() == 0 && *name && !u->more_groups && tool_find_user(u->root, name, &user);
    return tells && !tool_user_may_read(root, &user, path) ? name : NULL;
}

/* --- the entries --- */

static void judge_entry(struct tool_report *r, const struct tool_unit *u, const struct tool_variable *v,
                        const char *entry, const char *library)
{
    char *root = tool_text("%s%s", u->root, u->root_directory), *found = tool_resolve_preload(root, entry);
    const char *hidden = found ? tool_unit_hides(u, found) : NULL,
               *kept_out = found && names_us(entry) && !hidden ? keeps_out(u, root, found) : NULL,
               *in_root = *u->root_directory ? " in its RootDirectory=" : "";
    if (!found && may_mean_us(entry))
        tool_judge(r, TOOL_VERDICT_NO, "%s: LD_PRELOAD names %s, and there is no such file%s%s%s", v->where, entry,
                   in_root, library ? ": the library is " : "", library ? library : "");
    else if (!found)
        tool_warn(r, "preload", "%s: LD_PRELOAD names %s, and there is no such file%s: it will be left out", v->where,
                  entry, in_root);
    else if (names_us(entry) && hidden)
        tool_judge(r, TOOL_VERDICT_NO, "%s: LD_PRELOAD names %s, and %s", v->where, found, hidden);
    else if (kept_out)
        tool_judge(r, TOOL_VERDICT_NO, "%s: LD_PRELOAD names %s, which its user %s cannot read", v->where, found,
                   kept_out);
    free(found);
    free(root);
}

static void judge_lack(struct tool_report *r, const struct tool_unit *u, const struct tool_variable *v)
{
    const struct tool_variable *lost = &u->env.lost;
    if (lost->text && v)
        tool_judge(r, TOOL_VERDICT_NO, "it is not given the library: %s of %s is replaced by %s of %s", lost->text,
                   lost->where, v->text, v->where);
    else if (lost->text)
        tool_judge(r, TOOL_VERDICT_NO,
                   "it is not given the library: %s of %s is taken away by a later Environment= or UnsetEnvironment=",
                   lost->text, lost->where);
    else
        tool_judge(r, TOOL_VERDICT_NO, "it is not given the library: ppshim unit writes what it needs");
}

char *tool_check_preload(struct tool_report *r, const struct tool_unit *u, const char *library)
{
    const struct tool_variable *v = tool_env_find(&u->env, "LD_PRELOAD");
    char *copy = tool_text("%s", v ? strchr(v->text, '=') + 1 : ""), *rest = copy, *entry, *ours = NULL;
    bool meant = false;
    while ((entry = strsep(&rest, ": \t\n"))) {
        if (!*entry)
            continue;
        judge_entry(r, u, v, entry, library);
        meant |= may_mean_us(entry);
        if (!ours && names_us(entry))
            ours = tool_resolve_preload(u->root, entry);
    }
    if (!meant)
        judge_lack(r, u, v);
    free(copy);
    return ours;
}
