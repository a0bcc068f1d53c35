/* SPDX-License-Identifier: MIT
 *
 * client_internal.h: the two places that client.c keeps clients in, and the inside of the table for its unit tests.
 *
 * `peer_sum` is a checksum of the real peer; recalling with another one finds nothing.
 */
#ifndef PPSHIM_CLIENT_INTERNAL_H
#define PPSHIM_CLIENT_INTERNAL_H

#include <ppshim/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* client_sockopt.c: the socket's own bytes. Stateless. There is no room for the local address, unless both are IPv4:
 *partly says then that it is, or was, elsewhere. */
bool pps_peer_to_socket(int fd, uint32_t peer_sum, const struct pps_client *client, bool *partly);
bool pps_peer_from_socket(int fd, uint32_t peer_sum, struct pps_client *out, bool *partly);
bool pps_peer_socket_keeps(int fd);
bool pps_peer_socket_is_marked(int fd);

/* client_table.c: a table of this process. The first is false when memory ran out, in a vfork child, and for what is no
   socket. The second takes no lock and waits for nobody. */
bool pps_peer_to_table(int fd, uint32_t peer_sum, const struct pps_client *client);
bool pps_peer_from_table(int fd, uint32_t peer_sum, struct pps_client *out);
void pps_peer_table_after_fork(void);

/* --- for unit tests --- */

struct pps_peer_table_state {
    size_t capacity, used; /* places, and how many of them hold an entry or held one */
    size_t retired;        /* replaced tables that wait for their last reader */
    unsigned sweeps;
};
struct pps_peer_table_state pps_peer_table_look(void);

/* Back to before the first entry. No other thread may be in this module. */
void pps_peer_table_forget(void);

#endif
