/* SPDX-License-Identifier: MIT
 *
 * processes.h: the processes of this machine and the sockets they hold, as /proc shows them at one moment: which belong
 * to a PID or a service, who holds a listener, which connections are whose.
 *
 * Nothing is disturbed. Of other users' processes root alone sees the sockets. One thread; malloc freely.
 */
#ifndef PPSHIM_PROCESSES_H
#define PPSHIM_PROCESSES_H

#include <ppshim/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* A TCP socket of a network namespace, or a listening Unix one; by their inodes processes hold them. */
struct tool_socket {
    unsigned long inode;
    bool listens;
    struct pps_addr local, peer; /* peer: of a connection */
    char unix_name[112];         /* as a list has it: "/run/x", "@x"; "" for TCP */
};

struct tool_sockets {
    struct tool_socket *list; /* by inode, ascending */
    size_t count;
};

struct tool_process {
    pid_t pid, parent;
    bool belongs; /* to what was asked for (tool_processes_mark) */
    bool seen;    /* its descriptors could be read */
    bool io_uring;
    struct tool_descriptor { /* those that are sockets of any kind */
        unsigned long inode;
        int fd;
    } * held;
    size_t held_count;
};

struct tool_processes {
    struct tool_process *list; /* every process there is */
    size_t count;
};

/* All of them, with none marked. Then tool_processes_free. */
void tool_processes_read(struct tool_processes *out);
void tool_processes_free(struct tool_processes *p);

/* One of them alone, into *p, whose `held` is to be freed. false: it is gone. */
bool tool_process_read(pid_t pid, struct tool_process *p);

/* Marks the process, all below it, and the other processes of its service (by its cgroup), and nobody else. false:
   there is none. */
bool tool_processes_mark(struct tool_processes *all, pid_t pid);

/* Reads all and marks those of "811", "mariadb" or "mariadb.service". *main_pid: the process itself, or the service's
   main one. false: there is none, and `error` is one line; nothing is to be freed. */
bool tool_processes_of(const char *pid_or_unit, struct tool_processes *out, pid_t *main_pid, char error[512]);

/* The service that a process is of, "mariadb.service"; false: of none. */
bool tool_process_unit(pid_t pid, char name[256]);

/* NULL: it is not there. */
const struct tool_process *tool_process_find(const struct tool_processes *all, pid_t pid);
/* The lowest of its descriptors for this socket; -1: it has none. */
int tool_process_fd(const struct tool_process *p, unsigned long inode);

/* By one of those that are marked. */
bool tool_socket_is_held(const struct tool_processes *all, const struct tool_socket *s);

/* The sockets of the network namespace that this process is in. Then tool_sockets_free. */
void tool_sockets_read(pid_t pid, struct tool_sockets *out);
void tool_sockets_free(struct tool_sockets *s);
/* NULL: it is none of these. */
const struct tool_socket *tool_socket_find(const struct tool_sockets *s, unsigned long inode);
/* "127.0.0.1:3306", "[::]:22" or "unix:/run/x": its local end. */
const char *tool_socket_text(const struct tool_socket *s, char text[120]);

#endif
