/* SPDX-License-Identifier: MIT
 *
 * fd_table.h: what each descriptor number is, as far as is known: one word a number.
 *
 * Look-ups are one load: any thread, any signal handler. A number whose close we did not see (raw system calls) is
 * wrong until somebody asks the kernel (listener.h).
 */
#ifndef PPSHIM_FD_TABLE_H
#define PPSHIM_FD_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum pps_fd_kind {
    PPS_FD_UNKNOWN,
    PPS_FD_OTHER,      /* not a listener when last asked */
    PPS_FD_NO_SOCKET,  /* nor any socket */
    PPS_FD_UNGOVERNED, /* a listener whose port or family is none of ours */
    PPS_FD_OURS,       /* the shim's own descriptor */
    /* Of these, and none above, may a governed listener be. */
    PPS_FD_INHERITED, /* a listener that was there at start, not looked at yet */
    PPS_FD_EPOLL,     /* an epoll that holds, or held, a governed listener, or stands in another epoll */
    PPS_FD_GOVERNED,  /* plus the index of its record */
};

/* Numbers beyond the table are asked about each time. fd_table.c alone writes it. */
#define PPS_FD_MAX (1 << 20)
extern _Atomic uint16_t pps_fd_words[PPS_FD_MAX];

static inline unsigned pps_fd_word(int fd)
{
    if ((unsigned)fd >= PPS_FD_MAX)
        return PPS_FD_UNKNOWN;
    return atomic_load_explicit(&pps_fd_words[fd], memory_order_acquire);
}

static inline enum pps_fd_kind pps_fd_kind(int fd)
{
    unsigned word = pps_fd_word(fd);
    return word < PPS_FD_GOVERNED ? word : PPS_FD_GOVERNED;
}

/* Whether a wait that names this number may name a governed listener. */
static inline bool pps_fd_may_govern(int fd)
{
    return pps_fd_word(fd) >= PPS_FD_INHERITED;
}

/* Of a governed listener's number by listener.c alone, under the lock. */
void pps_fd_mark(int fd, unsigned word);

/* One more than the highest number about which anything was ever known. */
int pps_fd_end(void);

#endif
