/* SPDX-License-Identifier: MIT
 *
 * listener_probe.c: see listener_probe.h.
 */
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/listener_probe.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>

bool pps_probe_is_no_listener(int fd, bool *no_socket)
{
    errno = 0;
    int listens = pps_sockopt(fd, SOL_SOCKET, SO_ACCEPTCONN);
    *no_socket = listens < 0 && errno == ENOTSOCK;
    return listens == 0 || *no_socket;
}

static bool ask_tcp(int fd, const struct sockaddr_storage *own, struct pps_probe *p)
{
    int protocol = pps_sockopt(fd, SOL_SOCKET, SO_PROTOCOL);
    p->tcp = pps_protocol_is_tcp(protocol);
    p->inet6 = own->ss_family == AF_INET6;
    int v6only = p->inet6 ? pps_sockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY) : 0;
    p->v6only = v6only > 0;
    return protocol >= 0 && v6only >= 0;
}

uint64_t pps_probe_cookie(int fd)
{
    return pps_sockopt_cookie(fd);
}

static bool ask(int fd, struct pps_probe *p)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (real_getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        return false;
    bool told = true;
    if (pps_addr_from_sockaddr(&p->local, (struct sockaddr *)&ss, len))
        told = ask_tcp(fd, &ss, p);
    else if (pps_unix_name_from_sockaddr(&p->name, (struct sockaddr *)&ss, len))
        p->is_unix = pps_sockopt(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
    p->cookie = pps_probe_cookie(fd);
    p->lowat = pps_sockopt(fd, SOL_SOCKET, SO_RCVLOWAT);
    return told && p->lowat >= 0;
}

bool pps_probe(int fd, struct pps_probe *p)
{
    *p = (struct pps_probe){.lowat = 1};
    int listens = pps_sockopt(fd, SOL_SOCKET, SO_ACCEPTCONN);
    p->listens = listens > 0;
    return p->listens ? ask(fd, p) : listens == 0 || errno == ENOTSOCK;
}

bool pps_probe_before_listen(int fd, struct pps_probe *p)
{
    *p = (struct pps_probe){.lowat = 1};
    return ask(fd, p);
}
