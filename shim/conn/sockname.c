/* SPDX-License-Identifier: MIT
 *
 * sockname.c: copy-out, getpeername and getsockname (sockname.h).
 */
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/real.h>
#include <ppshim/sockname.h>
#include <string.h>

void pps_answer_copy(const void *from, socklen_t from_len, struct sockaddr *sa, socklen_t *len)
{
    memcpy(sa, from, *len < from_len ? *len : from_len);
    *len = from_len;
}

bool pps_answer_fits(enum pps_addr_form form, sa_family_t socket_family, socklen_t room)
{
    return socket_family != AF_INET || form != PPS_FORM_INET6 || room >= sizeof(struct sockaddr_in6);
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

/* Over the kernel's answer, of which *len is the full length. */
static int replace(const struct pps_addr *a, enum pps_addr_form form, socklen_t room, struct sockaddr *sa,
                   socklen_t *len)
{
    struct sockaddr_storage ss;
    if (!pps_answer_fits(form, *len == sizeof(struct sockaddr_in) ? AF_INET : AF_INET6, room)) {
        errno = ENOBUFS;
        return -1;
    }
    socklen_t full = pps_addr_to_sockaddr(a, form, &ss);
    *len = room;
    pps_answer_copy(&ss, full, sa, len);
    return 0;
}

/* The kernel answers first, into the caller's own buffer: its errors stand, and what is no TCP socket is done. Its
   answer is the real peer, unless the buffer was too short to hold it. */
int pps_answer_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct pps_addr peer;
    struct pps_client client;
    socklen_t room = sa && len ? *len : 0;
    int saved = errno, result = 0;
    if (real_getpeername(fd, sa, len) != 0)
        return -1;
    bool known = is_inet_length(*len) &&
                 (*len <= room ? pps_addr_from_sockaddr(&peer, sa, *len) : real_peer(fd, &peer)) &&
                 pps_peer_recall(fd, &peer, &client);
    if (known && client.has_addr)
        result = replace(&client.addr, client.form, room, sa, len);
    if (result == 0)
        errno = saved;
    return result;
}

/* What has no peer, a listener for one, keeps the kernel's answer. */
int pps_answer_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct pps_addr peer;
    struct pps_client client;
    socklen_t room = sa && len ? *len : 0;
    int saved = errno, result = 0;
    if (real_getsockname(fd, sa, len) != 0)
        return -1;
    bool known = is_inet_length(*len) && real_peer(fd, &peer) && pps_peer_recall(fd, &peer, &client);
    if (known && client.has_local)
        result = replace(&client.local, client.local_form, room, sa, len);
    if (result == 0)
        errno = saved;
    return result;
}
