/* SPDX-License-Identifier: MIT
 *
 * client_table.h: clients by socket, in memory of this process: the store (client.h) for sockets that cannot keep them.
 *
 * Remembering fails when memory ran out, in a vfork child, and for what is no socket. Recalling takes no lock and waits
 * for nobody.
 */
#ifndef PPSHIM_CLIENT_TABLE_H
#define PPSHIM_CLIENT_TABLE_H

#include <ppshim/client.h>
#include <stddef.h>

extern const struct pps_client_store pps_client_table;

/* process.h's after_fork. */
void pps_client_table_after_fork(void);

/* --- for unit tests --- */

struct pps_client_table_state {
    size_t capacity, used; /* places, and how many of them hold an entry or held one */
    size_t retired;        /* replaced tables that wait for their last reader */
    unsigned sweeps;
};
struct pps_client_table_state pps_client_table_look(void);

/* Back to before the first entry. No other thread may be in this module. */
void pps_client_table_forget(void);

#endif
