/* SPDX-License-Identifier: MIT
 *
 * as_user.c: see as_user.h.
 */
#include "as_user.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool tool_find_user(const char *root, const char *name, struct passwd *out)
{
    char path[PATH_MAX];
    struct passwd *entry = NULL;
    if (!*root)
        entry = getpwnam(name);
    else if (snprintf(path, sizeof path, "%s/etc/passwd", root) < (int)sizeof path) {
        FILE *file = fopen(path, "re");
        while (file && (entry = fgetpwent(file)) && strcmp(entry->pw_name, name) != 0)
            ;
        if (file)
            fclose(file);
    }
    if (entry)
        *out = *entry;
    return entry;
}

bool tool_become_user(const char *root, const struct passwd *user)
{
    if (*root && (chroot(root) != 0 || chdir("/") != 0))
        return false;
    return !user ||
           (initgroups(user->pw_name, user->pw_gid) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0);
}

bool tool_user_may_read(const char *root, const struct passwd *user, const char *path)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(tool_become_user(root, user) && open(path, O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
    return child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) == 0;
}
