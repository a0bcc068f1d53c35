/* SPDX-License-Identifier: MIT
 *
 * lowat.c: SO_RCVLOWAT, and the receive buffer where that caps it (lowat.h).
 */
#include <ppshim/lowat.h>
#include <ppshim/sockopt.h>
#include <sys/socket.h>

#define NEVER_CAPPED 1024 /* the least SO_RCVBUF there is still lets SO_RCVLOWAT be this */

static bool set_option(int fd, int option, int value)
{
    return setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) == 0;
}

void pps_lowat_begin(struct pps_lowat *w, int inherited)
{
    *w = (struct pps_lowat){.inherited = inherited, .asked = inherited};
}

/* The kernel silently caps SO_RCVLOWAT by half of an SO_RCVBUF that the server set; then the buffer is enlarged until
   the header is taken. */
bool pps_lowat_ask(struct pps_lowat *w, int fd, uint32_t bytes)
{
    int need = (int)bytes;
    if (need == w->asked) /* setting it anew would raise the same edge again */
        return true;
    w->asked = need;
    if (!set_option(fd, SO_RCVLOWAT, need)) /* no such thing for this protocol: every arrival wakes us */
        return true;
    if (need <= NEVER_CAPPED || pps_sockopt(fd, SOL_SOCKET, SO_RCVLOWAT) == need)
        return true;
    if (!w->rcvbuf)
        w->rcvbuf = pps_sockopt(fd, SOL_SOCKET, SO_RCVBUF) / 2; /* the kernel doubles what it is given (socket(7)) */
    set_option(fd, SO_RCVBUF, need);
    set_option(fd, SO_RCVLOWAT, need);
    if (pps_sockopt(fd, SOL_SOCKET, SO_RCVLOWAT) != need)
        w->asked = 0;
    return w->asked;
}

void pps_lowat_end(const struct pps_lowat *w, int fd)
{
    if (w->asked != w->inherited)
        set_option(fd, SO_RCVLOWAT, w->inherited);
    if (w->rcvbuf)
        set_option(fd, SO_RCVBUF, w->rcvbuf);
}
