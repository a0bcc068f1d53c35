/* SPDX-License-Identifier: MIT
 *
 * units.h: the services of a system, all of them.
 */
#ifndef PPSHIM_UNITS_H
#define PPSHIM_UNITS_H

#include "unit_file.h"
#include <stdbool.h>
#include <stddef.h>

struct tool_names {
    char **list; /* "mariadb.service", sorted, each once */
    size_t count;
};

/* Services that are there or have a drop-in, aliases left out; templates as themselves, instances as far as links,
   drop-ins or a PostgreSQL cluster's directory tell of them. Then tool_names_free. */
void tool_units_all(const char *root, struct tool_names *out);
/* Of these the ones that are given the library, or a setting of ours. */
void tool_units_governed(const char *root, struct tool_names *out);
void tool_names_free(struct tool_names *n);

/* Whether a unit is given the library, or a setting of ours. */
bool tool_unit_is_governed(const struct tool_unit *u);

/* "postgresql@15-main, postgresql@16-b": who starts what this unit, which only stands for them, seems to start (of the
   clusters' template too, whose environment none of them gets). NULL: it starts its program itself. The caller frees
   it. */
char *tool_unit_stands_for(const struct tool_unit *u);

#endif
