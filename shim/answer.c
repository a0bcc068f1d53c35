/* SPDX-License-Identifier: MIT
 *
 * answer.c: copy-out and getpeername (answer.h).
 */
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/answer.h>
#include <ppshim/real.h>
#include <string.h>

void pps_answer_copy(const void *from, socklen_t from_len, struct sockaddr *sa, socklen_t *len)
{
    memcpy(sa, from, *len < from_len ? *len : from_len);
    *len = from_len;
}

bool pps_answer_fits(const struct pps_client *client, sa_family_t socket_family, socklen_t room)
{
    return socket_family != AF_INET || client->form != PPS_FORM_INET6 || room >= sizeof(struct sockaddr_in6);
}

/* The real peer, when the caller's buffer was too short to hold it. */
static bool whole_peer(int fd, const struct sockaddr *sa, socklen_t room, socklen_t full, struct pps_addr *out)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (full <= room)
        return pps_addr_from_sockaddr(out, sa, full);
    return real_getpeername(fd, (struct sockaddr *)&ss, &len) == 0 &&
           pps_addr_from_sockaddr(out, (struct sockaddr *)&ss, len);
}

static bool is_inet_length(socklen_t full)
{
    return full == sizeof(struct sockaddr_in) || full == sizeof(struct sockaddr_in6);
}

/* The kernel answers first, into the caller's own buffer: its errors stand, and what is no TCP socket is done. */
int pps_answer_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct pps_addr peer;
    struct pps_client client;
    struct sockaddr_storage ss;
    socklen_t room = sa && len ? *len : 0;
    int saved = errno;
    if (real_getpeername(fd, sa, len) != 0)
        return -1;
    socklen_t full = *len;
    if (is_inet_length(full) && whole_peer(fd, sa, room, full, &peer) && pps_peer_recall(fd, &peer, &client) &&
        client.has_addr) {
        sa_family_t family = full == sizeof(struct sockaddr_in) ? AF_INET : AF_INET6;
        if (!pps_answer_fits(&client, family, room)) {
            errno = ENOBUFS;
            return -1;
        }
        *len = room;
        pps_answer_copy(&ss, pps_addr_to_sockaddr(&client.addr, client.form, &ss), sa, len);
    }
    errno = saved;
    return 0;
}
