/* SPDX-License-Identifier: MIT
 *
 * calls.c: the libc functions that the core calls, for where there is no libc: in a Go program's system calls. The same
 * sources are linked to libc in the preload, and to this there (Makefile).
 *
 * No libc state, no thread-local storage, no memory but the caller's. errno lies on the stack of ours that the call
 * runs on (stack.h), so that it is the call's own.
 */
#include "call.h"
#include "stack.h"
#include "vdso.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ppshim/real.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#undef errno
#define errno (*pps_stack_errno())

int *__errno_location(void)
{
    return pps_stack_errno();
}

static long returned(long result)
{
    if (!pps_call_failed(result))
        return result;
    errno = (int)-result;
    return -1;
}

#define RETURNED(...) returned(pps_call(__VA_ARGS__))

/* --- files and memory --- */

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    return (int)RETURNED(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t read(int fd, void *to, size_t size)
{
    return RETURNED(SYS_read, fd, to, size);
}

ssize_t pread(int fd, void *to, size_t size, off_t at)
{
    return RETURNED(SYS_pread64, fd, to, size, at);
}

ssize_t write(int fd, const void *from, size_t size)
{
    return RETURNED(SYS_write, fd, from, size);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    return RETURNED(SYS_pwrite64, fd, from, size, at);
}

int stat(const char *restrict path, struct stat *restrict out)
{
    return (int)RETURNED(SYS_stat, path, out);
}

int fstat(int fd, struct stat *out)
{
    return (int)RETURNED(SYS_fstat, fd, out);
}

int fstatfs(int fd, struct statfs *out)
{
    return (int)RETURNED(SYS_fstatfs, fd, out);
}

int fallocate(int fd, int mode, off_t at, off_t size)
{
    return (int)RETURNED(SYS_fallocate, fd, mode, at, size);
}

int fchmod(int fd, mode_t mode)
{
    return (int)RETURNED(SYS_fchmod, fd, mode);
}

int unlink(const char *path)
{
    return (int)RETURNED(SYS_unlink, path);
}

ssize_t readlink(const char *restrict path, char *restrict to, size_t size)
{
    return RETURNED(SYS_readlink, path, to, size);
}

int fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    long argument = va_arg(args, long);
    va_end(args);
    return (int)RETURNED(SYS_fcntl, fd, command, argument);
}

int bare_ioctl(int fd, unsigned long request, ...) __asm__("ioctl"); /* the same */
int bare_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    long argument = va_arg(args, long);
    va_end(args);
    return (int)RETURNED(SYS_ioctl, fd, request, argument);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return (void *)RETURNED(SYS_mmap, at, size, protection, flags, fd, offset);
}

int munmap(void *at, size_t size)
{
    return (int)RETURNED(SYS_munmap, at, size);
}

int mprotect(void *at, size_t size, int protection)
{
    return (int)RETURNED(SYS_mprotect, at, size, protection);
}

void *mremap(void *at, size_t size, size_t wanted, int flags, ...)
{
    return (void *)RETURNED(SYS_mremap, at, size, wanted, flags);
}

/* --- sockets --- */

int socket(int domain, int type, int protocol)
{
    return (int)RETURNED(SYS_socket, domain, type, protocol);
}

int connect(int fd, const struct sockaddr *to, socklen_t length)
{
    return (int)RETURNED(SYS_connect, fd, to, length);
}

ssize_t send(int fd, const void *from, size_t size, int flags)
{
    return RETURNED(SYS_sendto, fd, from, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return RETURNED(SYS_sendmsg, fd, message, flags);
}

ssize_t recv(int fd, void *to, size_t size, int flags)
{
    return RETURNED(SYS_recvfrom, fd, to, size, flags);
}

int shutdown(int fd, int how)
{
    return (int)RETURNED(SYS_shutdown, fd, how);
}

int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict length)
{
    return (int)RETURNED(SYS_getsockopt, fd, level, option, value, length);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    return (int)RETURNED(SYS_setsockopt, fd, level, option, value, length);
}

int real_accept4(int fd, struct sockaddr *sa, socklen_t *length, int flags)
{
    return (int)RETURNED(SYS_accept4, fd, sa, length, flags);
}

int real_listen(int fd, int backlog)
{
    return (int)RETURNED(SYS_listen, fd, backlog);
}

int real_getpeername(int fd, struct sockaddr *sa, socklen_t *length)
{
    return (int)RETURNED(SYS_getpeername, fd, sa, length);
}

int real_getsockname(int fd, struct sockaddr *sa, socklen_t *length)
{
    return (int)RETURNED(SYS_getsockname, fd, sa, length);
}

int real_close(int fd)
{
    return (int)RETURNED(SYS_close, fd);
}

/* --- waiting and time --- */

int real_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    return (int)RETURNED(SYS_poll, fds, count, timeout_ms);
}

int epoll_create1(int flags)
{
    return (int)RETURNED(SYS_epoll_create1, flags);
}

int real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    return (int)RETURNED(SYS_epoll_ctl, epfd, op, fd, event);
}

int real_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
    return (int)RETURNED(SYS_epoll_wait, epfd, events, max, timeout_ms);
}

int timerfd_create(clockid_t clock, int flags)
{
    return (int)RETURNED(SYS_timerfd_create, clock, flags);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *before)
{
    return (int)RETURNED(SYS_timerfd_settime, fd, flags, at, before);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    return (int)returned(pps_vdso_clock(clock, out));
}

time_t time(time_t *out)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* as the kernel's time(2) and libc's: the seconds of the last tick */
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* --- the process --- */

pid_t getpid(void)
{
    return (pid_t)pps_call(SYS_getpid);
}

int bare_getrlimit(int resource, struct rlimit *out) __asm__("getrlimit"); /* libcs differ in its declaration */
int bare_getrlimit(int resource, struct rlimit *out)
{
    return (int)RETURNED(SYS_prlimit64, 0, resource, 0, out);
}

int prctl(int option, ...)
{
    va_list args;
    va_start(args, option);
    unsigned long argument = va_arg(args, unsigned long);
    va_end(args);
    return (int)RETURNED(SYS_prctl, option, argument, 0, 0, 0);
}

ssize_t getrandom(void *to, size_t size, unsigned flags)
{
    return RETURNED(SYS_getrandom, to, size, flags);
}

/* 0 as well where there is no /proc. */
unsigned long getauxval(unsigned long wanted)
{
    unsigned long pair[2], found = 0;
    int fd = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && !found && read(fd, pair, sizeof pair) == sizeof pair)
        found = pair[0] == wanted ? pair[1] : 0;
    if (fd >= 0)
        real_close(fd);
    return found;
}

_Noreturn void _exit(int status)
{
    for (;;)
        pps_call(SYS_exit_group, status);
}

long syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    return returned(pps_call6(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* --- signals; the kernel's set is the first word of libc's --- */

static unsigned long *word_of(const sigset_t *set)
{
    return (unsigned long *)set;
}

static unsigned long bit(int signal)
{
    return 1UL << (signal - 1);
}

int sigemptyset(sigset_t *set)
{
    *set = (sigset_t){0};
    return 0;
}

int sigfillset(sigset_t *set)
{
    sigemptyset(set);
    *word_of(set) = ~0UL;
    return 0;
}

int sigaddset(sigset_t *set, int signal)
{
    *word_of(set) |= bit(signal);
    return 0;
}

int sigismember(const sigset_t *set, int signal)
{
    return (*word_of(set) & bit(signal)) != 0;
}

int sigpending(sigset_t *out)
{
    sigemptyset(out);
    return (int)RETURNED(SYS_rt_sigpending, out, sizeof(unsigned long));
}

int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict before)
{
    return (int)-pps_call(SYS_rt_sigprocmask, how, set, before, sizeof(unsigned long));
}

int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info, const struct timespec *restrict timeout)
{
    return (int)RETURNED(SYS_rt_sigtimedwait, set, info, timeout, sizeof(unsigned long));
}

/* --- threads: nobody cancels one here --- */

int pthread_setcancelstate(int state, int *before)
{
    if (before)
        *before = state;
    return 0;
}

/* Its first word is ours, whatever libc would keep there. 0: free, 1: locked, 2: locked, and somebody may sleep. The
 * child of a vfork never comes here. */
int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    int *word = (int *)mutex, is = 0;
    if (__atomic_compare_exchange_n(word, &is, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return 0;
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
        pps_call(SYS_futex, word, 128 /* FUTEX_WAIT_PRIVATE */, 2, 0);
    return 0;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int *word = (int *)mutex;
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
        pps_call(SYS_futex, word, 129 /* FUTEX_WAKE_PRIVATE */, 1);
    return 0;
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    *(int *)mutex = 0;
    return 0;
}
