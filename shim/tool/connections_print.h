/* SPDX-License-Identifier: MIT
 *
 * connections_print.h: open connections as they are shown.
 */
#ifndef PPSHIM_CONNECTIONS_PRINT_H
#define PPSHIM_CONNECTIONS_PRINT_H

#include "connections.h"
#include <stdio.h>

/* A table on stdout. */
void tool_connections_print(const struct tool_connections *c);
/* An object on a line of its own. */
void tool_connection_json(FILE *to, const struct tool_connection *c);

#endif
