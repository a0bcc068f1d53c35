/* SPDX-License-Identifier: MIT
 *
 * sockname.c: copy-out, getpeername and getsockname (sockname.h).
 */
#include "events.h"
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/real.h>
#include <ppshim/sockname.h>
#include <string.h>

void pps_sockname_copy(const void *from, socklen_t from_len, struct sockaddr *sa, socklen_t *len)
{
    memcpy(sa, from, *len < from_len ? *len : from_len);
    *len = from_len;
}

bool pps_sockname_addr(const struct pps_addr *a, sa_family_t family, bool v6only, struct sockaddr *sa, socklen_t *len)
{
    struct sockaddr_storage ss;
    socklen_t full = pps_addr_to_sockaddr(a, v6only ? AF_INET : family, &ss);
    if (family == AF_INET && full > sizeof(struct sockaddr_in) && *len < full)
        return false;
    pps_sockname_copy(&ss, full, sa, len);
    return true;
}

static bool real_peer(int fd, struct pps_addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    return real_getpeername(fd, (struct sockaddr *)&ss, &len) == 0 &&
           pps_addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
}

static bool is_inet_length(socklen_t full)
{
    return full == sizeof(struct sockaddr_in) || full == sizeof(struct sockaddr_in6);
}

/* Over the kernel's answer, of which *len is the full length and so tells the family that the socket has now: xinetd
   makes a dual-stack one AF_INET (IPV6_ADDRFORM). */
static int fail(void)
{
    errno = ENOBUFS;
    return -1;
}

static int replace(const struct pps_addr *a, bool v6only, socklen_t room, struct sockaddr *sa, socklen_t *len)
{
    sa_family_t family = *len == sizeof(struct sockaddr_in) ? AF_INET : AF_INET6;
    *len = room;
    if (pps_sockname_addr(a, family, v6only, sa, len))
        return 0;
    return fail();
}

/* The kernel answers first, into the caller's own buffer: its errors stand, and what is no TCP socket is done. Its
   answer is the real peer, unless the buffer was too short to hold it. Whose client cannot be told has no name: the
   balancer's would be a lie. */
int pps_sockname_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct pps_addr peer;
    struct pps_client client;
    socklen_t room = sa && len ? *len : 0;
    int saved = errno, result = 0;
    if (real_getpeername(fd, sa, len) != 0)
        return -1;
    bool inet = is_inet_length(*len) && (*len <= room ? pps_addr_from_sockaddr(&peer, sa, *len) : real_peer(fd, &peer));
    enum pps_recalled told = inet ? pps_client_recall(fd, &peer, &client) : PPS_RECALLED_NOTHING;
    if (told == PPS_RECALL_FAILED)
        return fail();
    if (told == PPS_RECALLED && client.has_addr) {
        result = replace(&client.addr, client.v6only, room, sa, len);
        pps_event_recalled(fd, &client);
    }
    if (result == 0)
        errno = saved;
    return result;
}

/* What has no peer, a listener for one, keeps the kernel's answer. */
int pps_sockname_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct pps_addr peer;
    struct pps_client client;
    socklen_t room = sa && len ? *len : 0;
    int saved = errno, result = 0;
    if (real_getsockname(fd, sa, len) != 0)
        return -1;
    bool inet = is_inet_length(*len) && real_peer(fd, &peer);
    enum pps_recalled told = inet ? pps_client_recall(fd, &peer, &client) : PPS_RECALLED_NOTHING;
    if (told == PPS_RECALL_FAILED)
        return fail();
    if (told == PPS_RECALLED && client.has_local)
        result = replace(&client.local, client.v6only, room, sa, len);
    if (result == 0)
        errno = saved;
    return result;
}
