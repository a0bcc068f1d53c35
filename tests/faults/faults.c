/* SPDX-License-Identifier: MIT
 *
 * faults.c: a preload that stands behind libppshim, where its calls find it before libc, and lets one of them fail: the
 * n-th of a name fails with an error, and is not made. Calls of anybody else are left alone. The plan lies in the file
 * that FAULTS names, shared by all processes; test_faults.py writes and reads it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <unistd.h>

static struct plan {
    char call[16];
    int32_t error, n;
    _Atomic int32_t seen; /* calls of that name so far */
    uint64_t where;       /* the failed one stands in the library, for addr2line */
} * plan;

static uintptr_t base, from, to; /* where libppshim lies, and its code */

static int find_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (!strstr(info->dlpi_name, "libppshim"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
            base = info->dlpi_addr;
            from = base + p->p_vaddr;
            to = from + p->p_memsz;
        }
    }
    return 1;
}

/* By system calls: our own wrappers are not to be counted. */
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS");
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = (void *)syscall(SYS_mmap, NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    dl_iterate_phdr(find_library, NULL);
    plan = map == MAP_FAILED ? NULL : map;
}

static bool fails(const char *name, const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    if (!plan || at < from || at >= to || strcmp(name, plan->call) != 0 || ++plan->seen != plan->n)
        return false;
    plan->where = at - 1 - base;
    errno = plan->error;
    return true;
}

#define MAY_FAIL(returns, name, parameters, arguments)                                                                 \
    __attribute__((visibility("default"))) returns name parameters                                                     \
    {                                                                                                                  \
        static returns(*next) parameters;                                                                              \
        if (!next)                                                                                                     \
            next = (returns(*) parameters)dlsym(RTLD_NEXT, #name);                                                     \
        return fails(#name, __builtin_return_address(0)) ? (returns)-1 : next arguments;                               \
    }

MAY_FAIL(int, accept4, (int fd, struct sockaddr *restrict sa, socklen_t *restrict len, int flags), (fd, sa, len, flags))
MAY_FAIL(int, getpeername, (int fd, struct sockaddr *restrict sa, socklen_t *restrict len), (fd, sa, len))
MAY_FAIL(int, getsockname, (int fd, struct sockaddr *restrict sa, socklen_t *restrict len), (fd, sa, len))
MAY_FAIL(ssize_t, recv, (int fd, void *to_, size_t size, int flags), (fd, to_, size, flags))
MAY_FAIL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
         (fd, level, name, value, len))
MAY_FAIL(int, getsockopt, (int fd, int level, int name, void *restrict value, socklen_t *restrict len),
         (fd, level, name, value, len))
MAY_FAIL(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
MAY_FAIL(int, epoll_create1, (int flags), (flags))
MAY_FAIL(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event), (epfd, op, fd, event))
MAY_FAIL(int, timerfd_create, (clockid_t clock, int flags), (clock, flags))
MAY_FAIL(int, timerfd_settime, (int fd, int flags, const struct itimerspec *new, struct itimerspec *old),
         (fd, flags, new, old))
MAY_FAIL(void *, mmap, (void *at, size_t length, int protection, int flags, int fd, off_t offset),
         (at, length, protection, flags, fd, offset))
MAY_FAIL(int, fstatfs, (int fd, struct statfs *out), (fd, out))
MAY_FAIL(int, fallocate, (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length))
MAY_FAIL(int, fchmod, (int fd, mode_t mode), (fd, mode))
MAY_FAIL(ssize_t, read, (int fd, void *to_, size_t size), (fd, to_, size))

__attribute__((visibility("default"))) int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return fails("open", __builtin_return_address(0)) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

__attribute__((visibility("default"))) int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return fails("fcntl", __builtin_return_address(0)) ? -1 : (int)syscall(SYS_fcntl, fd, command, argument);
}
