/* SPDX-License-Identifier: MIT
 *
 * conn.c: see conn.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <ppshim/conn.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

uint64_t pps_conn_inode(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

/* A peer that reset it has no name any more; its own side has. */
static bool is_reset(const struct pps_conn *c)
{
    struct sockaddr_storage own;
    struct pps_addr local;
    socklen_t length = sizeof own;
    return errno == ENOTCONN && real_getsockname(c->fd, (struct sockaddr *)&own, &length) == 0 &&
           pps_addr_from_sockaddr(&local, (struct sockaddr *)&own, length) && local.port == c->origin.port &&
           pps_sockopt(c->fd, SOL_SOCKET, SO_ACCEPTCONN) == 0;
}

bool pps_conn_is_still(const struct pps_conn *c)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (c->origin.unix_name)
        return c->inode && pps_conn_inode(c->fd) == c->inode;
    if (real_getpeername(c->fd, (struct sockaddr *)&peer, &length) != 0)
        return is_reset(c);
    return length == c->peer_raw_len && memcmp(&peer, &c->peer_raw, length) == 0;
}

void pps_conn_set_flags(const struct pps_conn *c, int before, int wanted)
{
    if ((before ^ wanted) & SOCK_NONBLOCK)
        fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) ^ O_NONBLOCK);
    if ((before ^ wanted) & SOCK_CLOEXEC)
        fcntl(c->fd, F_SETFD, wanted & SOCK_CLOEXEC ? FD_CLOEXEC : 0);
}
