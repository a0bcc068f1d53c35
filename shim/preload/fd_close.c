/* SPDX-License-Identifier: MIT
 *
 * fd_close.c: one descriptor's end, told to every module that knows of it (fd_close.h).
 */
#include "fd_close.h"
#include "acquire.h"
#include "fd_table.h"
#include "interest.h"
#include "listener.h"
#include "lock.h"
#include "parked.h"
#include "process.h"
#include <fcntl.h>

static void close_ours(int fd)
{
    struct pps_lock lock;
    pps_acquire_closing(fd);
    pps_lock_enter(&lock);
    if (pps_fd_kind(fd) == PPS_FD_OURS)
        pps_parked_closing(fd);
    if (pps_fd_kind(fd) == PPS_FD_OURS) /* the journal's */
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
    pps_lock_leave(&lock);
}

static void close_watched(int fd)
{
    struct pps_lock lock;
    struct pps_listener gone;
    pps_lock_enter(&lock);
    pps_interest_closing(fd);
    bool ended = pps_listener_forget(fd, &gone);
    pps_lock_leave(&lock);
    if (ended)
        pps_acquire_end(&gone);
}

static void close_one(int fd)
{
    enum pps_fd_kind kind = pps_fd_kind(fd);
    switch (kind) {
    case PPS_FD_UNKNOWN:
        return;
    case PPS_FD_OTHER:
    case PPS_FD_NO_SOCKET:
    case PPS_FD_INHERITED:
    case PPS_FD_UNGOVERNED:
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
        return;
    case PPS_FD_OURS:
    case PPS_FD_EPOLL:
    case PPS_FD_GOVERNED:
        break;
    }
    if (!pps_process_is_owner())
        return;
    if (kind == PPS_FD_OURS)
        close_ours(fd);
    else
        close_watched(fd);
}

void pps_fd_give_way(int from, int to)
{
    if (pps_fd_kind(to) == PPS_FD_OURS && fcntl(from, F_GETFD) >= 0)
        close_one(to);
}

/* One of ours is left to who finds it missing: whether its companions still are ours is not known here. */
void pps_fd_closed_unseen(int fd)
{
    if (pps_fd_may_govern(fd))
        close_one(fd);
}

void pps_fd_close_range(unsigned first, unsigned last)
{
    unsigned end = (unsigned)pps_fd_end();
    for (unsigned fd = first; fd <= last && fd < end; fd++)
        close_one((int)fd);
}
