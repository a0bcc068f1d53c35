/* SPDX-License-Identifier: MIT
 *
 * fd_close.c: one descriptor's end, told to every module that knows of it (fd_close.h).
 */
#include <ppshim/fd_close.h>
#include <ppshim/held.h>
#include <ppshim/interest.h>
#include <ppshim/listener.h>
#include <ppshim/lock.h>
#include <ppshim/parked.h>

static void forget(int fd, enum pps_fd_kind kind, bool unseen, bool alone)
{
    struct pps_listener gone;
    if (kind != PPS_FD_OURS)
        pps_watch_closing(fd);
    if (pps_listener_forget(fd, &gone)) {
        pps_place_closing(&gone, unseen);
        pps_park_abandon(&gone);
    }
    if (kind == PPS_FD_OURS)
        pps_park_closing(fd, alone);
}

void pps_was_closed(int fd)
{
    forget(fd, pps_listener_kind(fd), true, true);
}

static void closing(int fd, bool unseen, bool alone)
{
    struct pps_guard g;
    enum pps_fd_kind kind = pps_listener_kind(fd);
    switch (kind) {
    case PPS_FD_UNKNOWN:
        return;
    case PPS_FD_OTHER:
    case PPS_FD_NO_SOCKET:
    case PPS_FD_INHERITED:
    case PPS_FD_UNGOVERNED:
        pps_listener_mark(fd, PPS_FD_UNKNOWN);
        return;
    case PPS_FD_OURS:
    case PPS_FD_EPOLL:
    case PPS_FD_GOVERNED:
        break;
    }
    if (!pps_process_is_owner())
        return;
    pps_guard_enter(&g);
    forget(fd, kind, unseen, alone);
    pps_guard_leave(&g);
}

void pps_closing(int fd)
{
    closing(fd, false, true);
}

/* One of ours is left to who finds it missing: whether its companions still are ours is not known here. */
void pps_closed_unseen(int fd)
{
    if (pps_listener_may_govern(fd))
        closing(fd, true, true);
}

bool pps_listener_closed_unseen(int fd, const struct pps_listener *l)
{
    struct pps_guard g;
    if (!pps_process_is_owner())
        return false;
    pps_guard_enter(&g);
    bool lost = pps_listener_has_lost(l, fd);
    if (lost)
        pps_was_closed(fd);
    pps_guard_leave(&g);
    return lost;
}

void pps_closing_range(unsigned first, unsigned last)
{
    unsigned end = (unsigned)pps_listener_fd_end();
    for (unsigned fd = first; fd <= last && fd < end; fd++)
        closing((int)fd, false, first == last);
}
