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

static int band; /* its least number */

void pps_own_fds_reserve(unsigned count)
{
    struct rlimit numbers = {1024, 1024};
    if (band)
        return;
    getrlimit(RLIMIT_NOFILE, &numbers);
    int top = numbers.rlim_cur < NUMBER_CAP ? (int)numbers.rlim_cur : NUMBER_CAP;
    int width = count + SPARE_NUMBERS < (unsigned)top / 2 ? (int)count + SPARE_NUMBERS : top / 2;
    band = top - width;
}

int pps_own_fd_raise(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, band);
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
