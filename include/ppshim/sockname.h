/* SPDX-License-Identifier: MIT
 *
 * sockname.h: addresses given to the server, written into its buffer exactly as the kernel writes them.
 */
#ifndef PPSHIM_SOCKNAME_H
#define PPSHIM_SOCKNAME_H

#include <ppshim/client.h>
#include <stdbool.h>
#include <sys/socket.h>

/* As the kernel's move_addr_to_user: copies what fits, reports the full length. `len` must not be negative. */
void pps_sockname_copy(const void *from, socklen_t from_len, struct sockaddr *sa, socklen_t *len);

/* The same of an address for a socket that is now of `family`, as the kernel would report such a peer of it; but
   `v6only`: IPv4 as a sockaddr_in, for servers bound so match IPv4 clients only in that form. false, and nothing is
   copied: an IPv6 address for an AF_INET socket, and the buffer has room for an IPv4 one. A truncated address would be
   a made-up one. */
bool pps_sockname_addr(const struct pps_addr *a, sa_family_t family, bool v6only, struct sockaddr *sa, socklen_t *len);

/* getpeername(2), with the client in place of a balancer; ENOBUFS where pps_sockname_addr says no. Sets errno on
   failure only. */
int pps_sockname_getpeername(int fd, struct sockaddr *sa, socklen_t *len);

/* getsockname(2), with what the client connected to in place of the server's own address, where that is remembered
   (PPSHIM_LOCAL_ADDR=header); else as above. */
int pps_sockname_getsockname(int fd, struct sockaddr *sa, socklen_t *len);

#endif
