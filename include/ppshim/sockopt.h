/* SPDX-License-Identifier: MIT
 *
 * sockopt.h: a question to a socket that is answered with a number (socket(7)).
 *
 * Any thread, any signal handler; no state. Changes errno.
 */
#ifndef PPSHIM_SOCKOPT_H
#define PPSHIM_SOCKOPT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* -1 and errno: it cannot be asked. */
static inline int pps_sockopt(int fd, int level, int option)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, option, &value, &len) == 0 ? value : -1;
}

/* The kernel's number for this socket, as long as the host runs; ss(8) and sock_diag(7) show it too. 0: none. */
static inline uint64_t pps_sockopt_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

/* TCP or MPTCP. */
static inline bool pps_protocol_is_tcp(int protocol)
{
    return protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP;
}

static inline bool pps_sockopt_is_tcp(int fd)
{
    return pps_protocol_is_tcp(pps_sockopt(fd, SOL_SOCKET, SO_PROTOCOL));
}

#endif
