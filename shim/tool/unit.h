/* SPDX-License-Identifier: MIT
 *
 * unit.h: the texts that `ppshim unit` writes, and the writing. Each function that returns an exit status has said why
 * it is not TOOL_OK.
 */
#ifndef PPSHIM_UNIT_H
#define PPSHIM_UNIT_H

#include "unit_env.h"
#include "unit_file.h"
#include <stdbool.h>

#define UNIT_DROPIN "ppshim.conf"
#define UNIT_PRELOAD "ppshim.preload" /* beside it, where it is needed */

/* Path (without the root) and whole text of the drop-in. `wanted`: its variables, or NULL: none, for they stand
   elsewhere. `guard`: the path of this tool, which then looks behind each start whether the library was loaded; or
   NULL. `by_file`: LD_PRELOAD stands in a file beside it, that wins over the unit's other files. */
int unit_dropin_text(const struct tool_unit *u, const struct tool_env *wanted, const char *guard, bool by_file,
                     char **path, char **text);
int unit_preload_text(const struct tool_unit *u, const struct tool_env *wanted, char **path, char **text);
/* Removes both. */
int unit_dropin_remove(const struct tool_unit *u, char **path, bool *changed);

/* The same for a PostgreSQL cluster's `environment`: the operator's lines stay, ours stand in a block of their own. */
int unit_cluster_text(const struct tool_unit *u, const struct tool_env *wanted, char **path, char **text);
int unit_cluster_remove(const struct tool_unit *u, char **path, bool *changed);
/* The cluster's unit as it would be with that text. */
void unit_cluster_read(struct tool_unit *then, const struct tool_unit *u, const char *text);

/* Replaces root/path by rename; directories are made. keep_owner: the new file has owner and mode of the old one, or
   of its directory. *changed is false if it held the text before. */
int unit_write(const char *root, const char *path, const char *text, bool keep_owner, bool *changed);

#endif
