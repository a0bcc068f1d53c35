/* SPDX-License-Identifier: MIT
 *
 * as_user.h: what a service's user could do: asked by a child that becomes that user, below the service's root.
 */
#ifndef PPSHIM_AS_USER_H
#define PPSHIM_AS_USER_H

#include <pwd.h>
#include <stdbool.h>

/* `root`: "" or a directory whose /etc/passwd is meant. */
bool tool_find_user(const char *root, const char *name, struct passwd *out);

/* In a child of one thread: becomes this user, with the groups that it has in general; NULL: it stays who it is. Only
   root can. errno is set after false. */
bool tool_become_user(const char *root, const struct passwd *user);

/* Whether that user could read a file below `root`; true also where that cannot be found out. */
bool tool_user_may_read(const char *root, const struct passwd *user, const char *path);

#endif
