/* SPDX-License-Identifier: MIT
 *
 * shelf.c: see shelf.h.
 */
#include "shelf.h"
#include "../preload/fd_table.h"
#include <ppshim/real.h>

static int put(int fd)
{
    pps_fd_mark(fd, PPS_FD_OURS);
    return fd;
}

static bool holds(int fd)
{
    return pps_fd_kind(fd) == PPS_FD_OURS;
}

static void take(int fd)
{
    pps_fd_mark(fd, PPS_FD_UNKNOWN);
    real_close(fd);
}

const struct pps_journal_shelf pps_go_shelf = {put, holds, take};
