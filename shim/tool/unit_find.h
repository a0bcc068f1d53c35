/* SPDX-License-Identifier: MIT
 *
 * unit_find.h: where a systemd service's files lie, as systemd.unit(5) says: unit, aliases, drop-ins.
 */
#ifndef PPSHIM_UNIT_FIND_H
#define PPSHIM_UNIT_FIND_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct tool_dropin {
    char name[256], path[PATH_MAX]; /* without the root; "" for the one that is to be */
};

struct tool_found {
    char path[PATH_MAX]; /* of the unit file, without the root */
    bool masked;
    struct tool_dropin *dropins; /* in the order in which they are read; free() them */
    size_t count;
};

/* The name an operator wrote, with .service behind it if it has no suffix. false: no service's name can look so. */
bool tool_unit_name(const char *given, char name[256]);

/* Whether it is a whole name of a service, suffix and all. */
bool tool_unit_is_name(const char *name);

/* Whether it is a template's, "ssh@.service": what systemd starts are its instances. */
bool tool_unit_is_template(const char *name);

/* The directories that systemd looks into, the first that has a name wins; NULL behind the last. */
const char *tool_unit_directory(int i);

/* Resolves aliases in `name`. `extra_name`: a drop-in that is to be, in place of any of that name; or NULL. */
bool tool_unit_find(const char *root, char name[256], const char *extra_name, struct tool_found *out, char error[512]);

#endif
