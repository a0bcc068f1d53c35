/* SPDX-License-Identifier: MIT
 *
 * proc.c: see proc.h.
 */
#include "proc.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SKIP_4 " %*s %*s %*s %*s"
#define EXITING 4U /* PF_EXITING of the kernel */

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

bool tool_proc_path(char out[PATH_MAX], pid_t pid, const char *rest)
{
    return snprintf(out, PATH_MAX, "/proc/%d/%s", (int)pid, rest) < PATH_MAX;
}

FILE *tool_proc_open(pid_t pid, const char *rest)
{
    char path[PATH_MAX];
    return tool_proc_path(path, pid, rest) ? fopen(path, "re") : NULL;
}

/* The whole file, or as much of it as there is room for; "" if there is none. */
static void read_text(pid_t pid, const char *rest, char *out, size_t size)
{
    FILE *file = tool_proc_open(pid, rest);
    size_t length = file ? fread(out, 1, size - 1, file) : 0;
    out[length] = 0;
    if (file)
        fclose(file);
}

/* The third field, the fourth, the ninth and the 22nd; the second is the name in brackets, which may hold brackets and
   line breaks of its own. */
bool tool_proc_stat(pid_t pid, struct tool_proc_stat *out)
{
    char text[1024];
    unsigned long long ticks;
    unsigned flags;
    char state;
    int parent;
    read_text(pid, "stat", text, sizeof text);
    const char *rest = strrchr(text, ')');
    if (!rest ||
        sscanf(rest, ") %c %d" SKIP_4 " %u" SKIP_4 SKIP_4 SKIP_4 " %llu", &state, &parent, &flags, &ticks) != 4)
        return false;
    out->ends = flags & EXITING || strchr("ZX", state);
    out->parent = (pid_t)parent;
    out->started = ticks * (PPS_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

bool tool_proc_name(pid_t pid, char name[16])
{
    char text[64]; /* a kernel's thread has a longer one */
    read_text(pid, "comm", text, sizeof text);
    size_t length = strlen(text);
    bool known = length > 0;
    if (known && text[length - 1] == '\n')
        text[length - 1] = 0;
    snprintf(name, 16, "%.15s", known ? text : "?");
    for (char *at = name; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    return known;
}

bool tool_proc_network(pid_t pid, bool *ours)
{
    char path[PATH_MAX];
    struct stat own, its;
    if (!tool_proc_path(path, pid, "ns/net") || stat(path, &its) != 0 || stat("/proc/self/ns/net", &own) != 0)
        return false;
    *ours = own.st_ino == its.st_ino;
    return true;
}

int tool_proc_open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

int tool_proc_get_fd(int pidfd, int fd)
{
    return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

int tool_proc_copy_fd(pid_t pid, int fd)
{
    int pidfd = tool_proc_open_pidfd(pid);
    int copy = pidfd >= 0 ? tool_proc_get_fd(pidfd, fd) : -1, error = errno;
    if (pidfd >= 0)
        close(pidfd);
    errno = error;
    return copy;
}

const char *tool_proc_why_no_copies(void)
{
    int pidfd = tool_proc_open_pidfd(getpid()), copy = pidfd < 0 ? -1 : tool_proc_get_fd(pidfd, pidfd), error = errno;
    if (copy >= 0)
        close(copy);
    if (pidfd >= 0)
        close(pidfd);
    if (copy >= 0)
        return NULL;
    return error == ENOSYS ? "this kernel has no pidfd_getfd: it takes Linux 5.6"
                           : "pidfd_getfd is forbidden here: a container needs the capability SYS_PTRACE and a seccomp "
                             "profile that lets it be called";
}

bool tool_proc_is_traced(pid_t pid)
{
    char line[256];
    int tracer = 0;
    FILE *file = tool_proc_open(pid, "status");
    while (file && !tracer && fgets(line, sizeof line, file) && sscanf(line, "TracerPid: %d", &tracer) != 1)
        ;
    if (file)
        fclose(file);
    return tracer;
}

bool tool_proc_memory(pid_t pid, uint64_t at, void *out, size_t size)
{
    struct iovec here = {out, size}, there = {.iov_len = size};
    const uintptr_t address = (uintptr_t)at;
    memcpy(&there.iov_base, &address, sizeof address);
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

uint64_t tool_proc_aux(pid_t pid, uint64_t wanted)
{
    uint64_t pair[2], found = 0;
    FILE *file = tool_proc_open(pid, "auxv");
    while (file && !found && fread(pair, sizeof pair, 1, file) == 1)
        found = pair[0] == wanted ? pair[1] : 0;
    if (file)
        fclose(file);
    return found;
}

bool tool_proc_users(pid_t pid, uid_t users[4])
{
    char line[256];
    bool known = false;
    FILE *file = tool_proc_open(pid, "status");
    while (file && !known && fgets(line, sizeof line, file))
        known = sscanf(line, "Uid: %u %u %u %u", &users[0], &users[1], &users[2], &users[3]) == 4;
    if (file)
        fclose(file);
    return known;
}
