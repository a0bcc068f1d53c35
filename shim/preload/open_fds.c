/* SPDX-License-Identifier: MIT
 *
 * open_fds.c: see open_fds.h. Not by opendir, which allocates.
 */
#include "open_fds.h"
#include <dirent.h>
#include <fcntl.h>
#include <ppshim/real.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBERS_MAX (1 << 20)

/* As getdents64(2) writes it; libc's own struct may differ. */
struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* -1: no number ("." and ".."). */
static int number_of(const char *name)
{
    int n = 0;
    for (; *name >= '0' && *name <= '9'; name++)
        n = n * 10 + (*name - '0');
    return *name ? -1 : n;
}

bool pps_open_fds_by_proc(void (*each)(int fd, void *arg), void *arg)
{
    alignas(struct entry) char entries[1024]; /* servers accept in threads, and handlers, with little stack */
    long length = -1;
    int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return false;
    while ((length = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0) {
        for (long at = 0; at < length; at += ((const struct entry *)(entries + at))->size) {
            int fd = number_of(((const struct entry *)(entries + at))->name);
            if (fd >= 0 && fd != dir)
                each(fd, arg);
        }
    }
    real_close(dir);
    return length == 0;
}

static int numbers_end(void)
{
    struct rlimit numbers = {1024, 1024};
    getrlimit(RLIMIT_NOFILE, &numbers);
    return numbers.rlim_cur < NUMBERS_MAX ? (int)numbers.rlim_cur : NUMBERS_MAX;
}

void pps_open_fds_by_trying(void (*each)(int fd, void *arg), void *arg)
{
    for (int fd = 0, end = numbers_end(); fd < end; fd++)
        each(fd, arg);
}

/* To try a number that is closed costs a tenth of a microsecond; /proc costs two for each that is open, and some to
   begin with. */
void pps_open_fds(size_t about, void (*each)(int fd, void *arg), void *arg)
{
    size_t numbers = (size_t)numbers_end();
    if (numbers <= 1024 || numbers / 16 <= about || !pps_open_fds_by_proc(each, arg))
        pps_open_fds_by_trying(each, arg);
}
