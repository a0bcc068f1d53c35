/* SPDX-License-Identifier: MIT
 *
 * addr.h: one IP endpoint, in the one form every other module uses.
 *
 * IPv4 is held as its IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2), so that a peer seen through a dual-stack
 * socket, an entry of a trust list and a PROXY header's address compare equal when they name the same host.
 *
 * Pure: no I/O, no allocation, no errno, no state. Safe in signal handlers and in any thread.
 */
#ifndef PPSHIM_ADDR_H
#define PPSHIM_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct pps_addr {
    uint8_t ip[16]; /* network byte order; IPv4 as ::ffff:a.b.c.d */
    uint16_t port;  /* host byte order */
};

/* "[2001:db8::1]:65535" with v4-mapped and NUL is at most INET6_ADDRSTRLEN + 8 bytes. */
#define PPS_ADDR_TEXT 56

/* From an AF_INET or AF_INET6 sockaddr of `len` bytes; false for any other family or a length too short for its family.
 */
bool pps_addr_from_sockaddr(struct pps_addr *out, const struct sockaddr *sa, socklen_t len);
/* Returns the length written: of a sockaddr_in for an IPv4 address and AF_INET, else of a sockaddr_in6, with IPv4 as
   ::ffff:a.b.c.d. */
socklen_t pps_addr_to_sockaddr(const struct pps_addr *a, sa_family_t family, struct sockaddr_storage *out);

struct pps_addr pps_addr_v4(const uint8_t ip[4], uint16_t port);
struct pps_addr pps_addr_v6(const uint8_t ip[16], uint16_t port);

bool pps_addr_is_v4(const struct pps_addr *a);
bool pps_addr_is_unspecified(const struct pps_addr *a); /* 0.0.0.0 or :: */
bool pps_addr_is_loopback(const struct pps_addr *a);    /* 127.0.0.0/8 or ::1 */
bool pps_addr_is_multicast(const struct pps_addr *a);   /* 224.0.0.0/4 or ff00::/8 */
bool pps_addr_is_broadcast(const struct pps_addr *a);   /* 255.255.255.255 */

/* "203.0.113.7:4711" or "[2001:db8::7]:4711"; returns `text`. Never uses locale or allocation. */
const char *pps_addr_text(const struct pps_addr *a, char text[PPS_ADDR_TEXT]);

#endif
