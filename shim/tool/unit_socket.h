/* SPDX-License-Identifier: MIT
 *
 * unit_socket.h: which service a systemd socket starts.
 */
#ifndef PPSHIM_UNIT_SOCKET_H
#define PPSHIM_UNIT_SOCKET_H

/* ": it is a socket, name the service that it starts: ssh@.service", to go behind a refusal of that name. "": there is
   no such socket. The caller frees it. */
char *tool_socket_hint(const char *root, const char *name);

#endif
