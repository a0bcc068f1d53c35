/* SPDX-License-Identifier: MIT
 *
 * journal_ear.h: hears of starts (<ppshim/journal.h>) and ends (sock_diag.h), in a thread of its own that does nothing
 * else: whoever sends a start must find room in the socket's queue at all times, though a disk is slow.
 *
 * What was heard comes in an order in which each start is before its end.
 */
#ifndef PPSHIM_JOURNAL_EAR_H
#define PPSHIM_JOURNAL_EAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum tool_heard_kind {
    TOOL_HEARD_START,   /* a datagram, of `pid` and `uid` as the kernel has it */
    TOOL_HEARD_ENDS,    /* for tool_ends_parse */
    TOOL_HEARD_OVERRUN, /* ends were lost: the kernel's queue was full */
    TOOL_HEARD_DROPPED, /* `lost` records of either kind were lost: whoever takes them is too far behind */
    TOOL_HEARD_SIGNAL,  /* `signal`: SIGHUP, SIGTERM or SIGINT */
};

struct tool_heard {
    enum tool_heard_kind kind;
    int signal;
    pid_t pid;
    uid_t uid;
    uint64_t time; /* nanoseconds of CLOCK_REALTIME */
    uint64_t lost;
    size_t length;
    const void *data;
};

/* Opens both sockets: the Unix one at `path` with this mode, or as systemd passed it (sd_listen_fds(3)). false: `error`
   is one line. */
bool tool_ear_open(const char *path, unsigned mode, char error[512]);

/* Starts the thread; those signals are its own from here on. */
bool tool_ear_start(char error[512]);

/* What has been heard, at once if there is anything, else when there is. */
void tool_ear_take(void (*take)(const struct tool_heard *heard, void *arg), void *arg);
/* The same, without waiting. */
void tool_ear_take_now(void (*take)(const struct tool_heard *heard, void *arg), void *arg);

/* Takes the socket's path away, if we made it. */
void tool_ear_close(void);

#endif
