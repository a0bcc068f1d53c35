/* SPDX-License-Identifier: MIT
 *
 * client_internal.h: the place that client.c keeps clients in first, the socket's own bytes.
 */
#ifndef PPSHIM_CLIENT_INTERNAL_H
#define PPSHIM_CLIENT_INTERNAL_H

#include <ppshim/client.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* client_sockopt.c: the socket's own bytes. Stateless. There is no room for the local address, unless both are IPv4:
 *partly says then that it is, or was, elsewhere. */
bool pps_client_to_socket(int fd, uint32_t peer_sum, const struct pps_client *client, bool *partly);
enum pps_recalled pps_client_from_socket(int fd, uint32_t peer_sum, struct pps_client *out, bool *partly);
bool pps_client_socket_keeps(int fd);
bool pps_client_socket_is_marked(int fd);

#endif
