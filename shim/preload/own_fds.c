/* SPDX-License-Identifier: MIT
 *
 * own_fds.c: see own_fds.h.
 */
#include "own_fds.h"
#include "fd_table.h"
#include <fcntl.h>
#include <ppshim/real.h>
#include <sys/resource.h>

#define NUMBER_CAP 65536 /* the kernel's descriptor tables grow with the highest number */
#define SPARE_NUMBERS 64 /* for epolls and timers */
#define SHELF 2048       /* not higher, because each fork copies the table up to the highest number */

static int band; /* its least number */

static int top_of_numbers(void)
{
    struct rlimit numbers = {1024, 1024};
    getrlimit(RLIMIT_NOFILE, &numbers);
    return numbers.rlim_cur < NUMBER_CAP ? (int)numbers.rlim_cur : NUMBER_CAP;
}

void pps_own_fds_reserve(unsigned count)
{
    if (band)
        return;
    int top = top_of_numbers();
    int width = count + SPARE_NUMBERS < (unsigned)top / 2 ? (int)count + SPARE_NUMBERS : top / 2;
    band = top - width;
}

static int raise_above(int fd, int least)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, least);
    if (high < 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        high = fd;
    } else {
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
        real_close(fd);
    }
    pps_fd_mark(high, PPS_FD_OURS);
    return high;
}

int pps_own_fd_raise(int fd)
{
    return raise_above(fd, band);
}

int pps_own_fd_lower(int high, bool cloexec)
{
    int low = fcntl(high, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    pps_fd_mark(high, PPS_FD_UNKNOWN);
    if (low < 0) {
        fcntl(high, F_SETFD, cloexec ? FD_CLOEXEC : 0);
        return high;
    }
    real_close(high);
    return low;
}

bool pps_own_fd_open(int *plus_one, int fd)
{
    *plus_one = fd >= 0 ? pps_own_fd_raise(fd) + 1 : 0;
    return *plus_one;
}

void pps_own_fd_close(int *plus_one)
{
    if (!*plus_one)
        return;
    pps_fd_mark(*plus_one - 1, PPS_FD_UNKNOWN);
    real_close(*plus_one - 1);
    *plus_one = 0;
}

/* --- what is kept for good, from before it is known how many will park --- */

static int put(int fd)
{
    int half = top_of_numbers() / 2;
    return raise_above(fd, half < SHELF ? half : SHELF);
}

static bool holds(int fd)
{
    return pps_fd_kind(fd) == PPS_FD_OURS;
}

static void take(int fd)
{
    int plus_one = fd + 1;
    pps_own_fd_close(&plus_one);
}

const struct pps_journal_shelf pps_own_shelf = {put, holds, take};
