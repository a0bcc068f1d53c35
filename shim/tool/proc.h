/* SPDX-License-Identifier: MIT
 *
 * proc.h: the files of /proc/PID that more than one of us reads. Nothing is disturbed. Any
 * thread.
 */
#ifndef PPSHIM_PROC_H
#define PPSHIM_PROC_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* "/proc/PID/rest"; false: too long. */
bool tool_proc_path(char out[PATH_MAX], pid_t pid, const char *rest);
/* That, opened for reading; NULL and errno. */
FILE *tool_proc_open(pid_t pid, const char *rest);

/* Of /proc/PID/stat. false: it is gone. */
struct tool_proc_stat {
    bool ends; /* or has ended: what it held it has let go, or will at once */
    pid_t parent;
    uint64_t started; /* nanoseconds of CLOCK_BOOTTIME, rounded down to the kernel's tick */
};
bool tool_proc_stat(pid_t pid, struct tool_proc_stat *out);

/* The name that it gives itself, "mariadbd", with '?' for each control byte. false: it is gone, and the name is "?". */
bool tool_proc_name(pid_t pid, char name[16]);

/* Whether its network is this process's (network_namespaces(7)). false: that cannot be told. */
bool tool_proc_network(pid_t pid, bool *ours);

/* Of its memory, all of it. false: it is gone, may not be looked at, or has nothing there. */
bool tool_proc_memory(pid_t pid, uint64_t at, void *out, size_t size);

/* The number of its auxiliary vector (getauxval(3)); 0: it has none, or is of 32 bits. */
uint64_t tool_proc_aux(pid_t pid, uint64_t wanted);

/* pidfd_open(2), and a copy of one of its descriptors (pidfd_getfd(2), Linux 5.6), which waits while it becomes another
   program. Both are the caller's to close; -1 and errno. */
int tool_proc_open_pidfd(pid_t pid);
int tool_proc_get_fd(int pidfd, int fd);
/* Such a copy, by one call. */
int tool_proc_copy_fd(pid_t pid, int fd);

/* Why no such copy is to be had of any process, this one included; NULL: that is not so. Static. */
const char *tool_proc_why_no_copies(void);

/* Whether another process watches it by ptrace(2). */
bool tool_proc_is_traced(pid_t pid);

/* The users it is: real, effective, saved, of the file system. false: it is gone. */
bool tool_proc_users(pid_t pid, uid_t users[4]);

#endif
