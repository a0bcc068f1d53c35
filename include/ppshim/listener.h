/* SPDX-License-Identifier: MIT
 *
 * listener.h: which descriptors are governed listeners.
 *
 * What is known of a descriptor number is one small word in a table; a listener that has several numbers (dup,
 * SCM_RIGHTS) is one record, found by the kernel's SO_COOKIE. A number is met by listen(), or asked about (a few
 * getsockopt, once) when accept meets it for the first time, so that listeners inherited over exec or received from
 * another process are governed too. Numbers whose close we did not see (raw system calls) correct themselves: see
 * pps_listener_recheck.
 *
 * A TCP listener is governed by its port, an AF_UNIX stream listener if a list names it.
 *
 * Look-ups take no lock and are safe in signal handlers; meeting and forgetting take the guard.
 */
#ifndef PPSHIM_LISTENER_H
#define PPSHIM_LISTENER_H

#include <ppshim/addr.h>
#include <ppshim/unix_name.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PPS_LISTENERS_MAX 4096

struct pps_listener { /* a copy: stays meaningful when the listener is closed meanwhile */
    uint16_t index;   /* of its record, 0 to PPS_LISTENERS_MAX - 1 */
    uint16_t port;    /* local, host byte order; of an AF_UNIX listener what pps_listener_name needs */
    bool inet6 : 1, v6only : 1, is_unix : 1; /* of its sockets */
    uint16_t generation;                     /* tells it from a later listener in the same record; 0: no listener */
};

/* What a number is, as far as is known. */
enum pps_fd_kind {
    PPS_FD_UNKNOWN,
    PPS_FD_OTHER,      /* not a listener when last asked */
    PPS_FD_NO_SOCKET,  /* nor any socket */
    PPS_FD_UNGOVERNED, /* a listener whose port or family is none of ours */
    PPS_FD_OURS,       /* the shim's own descriptor */
    /* Of these, and none above, may a governed listener be. */
    PPS_FD_INHERITED, /* a listener that was there at start, not looked at yet */
    PPS_FD_EPOLL,     /* an epoll that holds, or held, a governed listener, or stands in another epoll */
    PPS_FD_GOVERNED,
};

/* The table; listener.c alone writes it. Numbers beyond it are asked about each time. */
#define PPS_NUMBERS_MAX (1 << 20)
extern _Atomic uint16_t pps_listener_numbers[PPS_NUMBERS_MAX]; /* a pps_fd_kind, or GOVERNED + index of the record */

static inline unsigned pps_listener_word(int fd)
{
    if ((unsigned)fd >= PPS_NUMBERS_MAX)
        return PPS_FD_UNKNOWN;
    return atomic_load_explicit(&pps_listener_numbers[fd], memory_order_acquire);
}

static inline enum pps_fd_kind pps_listener_kind(int fd)
{
    unsigned word = pps_listener_word(fd);
    return word < PPS_FD_GOVERNED ? word : PPS_FD_GOVERNED;
}

/* Once, from the constructor: whether threads are still at work with the listener that had a record. It is not used
   again before they have left. Called with the guard held. */
void pps_listener_ask_before_reuse(bool (*in_use)(unsigned index));

/* Once, from the constructor: what to do when a number turns out to have been closed where nobody saw it, as a raw
   system call does. Called with the guard held. */
void pps_listener_tell_of_unseen_closes(void (*closed_unseen)(int fd));

/* At start: marks the listeners this image was given (socket activation, exec), so that its first wait finds them. They
   are not governed before the server waits or accepts: an image that only happens to have one must not be failed by a
   bad list. */
void pps_listener_scan(void);

/* Whether a wait that names this number may name a governed listener. */
static inline bool pps_listener_may_govern(int fd)
{
    return pps_listener_word(fd) >= PPS_FD_INHERITED;
}

/* Kind of `fd`, asking the kernel about an unknown one; fills *out when PPS_FD_GOVERNED. When a process first governs a
   listener the trust lists are loaded (a bad one ends the process, status 78) and the `active` line is written. */
enum pps_fd_kind pps_listener_find(int fd, struct pps_listener *out);
/* The same, not believing what is known: after listen(), and after accept succeeded on what was PPS_FD_OTHER. */
enum pps_fd_kind pps_listener_recheck(int fd, struct pps_listener *out);

/* `fd` is of this kind from now on; not for PPS_FD_GOVERNED. */
void pps_listener_mark(int fd, enum pps_fd_kind kind);

/* `fd` is about to be closed. true when it was the last number of a governed listener, which is then in *gone: the
   caller lets go of the connections parked for it. The caller has the guard. */
bool pps_listener_forget(int fd, struct pps_listener *gone);

/* One more than the highest number about which anything is known. */
int pps_listener_fd_end(void);

/* Of an AF_UNIX listener, as the list that governs it has it. Lives for ever. */
const struct pps_unix_name *pps_listener_name(const struct pps_listener *l);

/* Whether it has a number still. The caller has the guard. */
bool pps_listener_is_open(const struct pps_listener *l);

/* Whether `fd`, which stood for this listener, is something else or nothing by now. The caller has the guard. */
bool pps_listener_has_lost(const struct pps_listener *l, int fd);

/* What the generation of the next listener in this record will be. */
uint16_t pps_listener_next_generation(const struct pps_listener *l);

/* Whether a copy is of an earlier listener in the same record than `generation`'s. */
bool pps_listener_is_older(const struct pps_listener *l, uint16_t generation);
bool pps_listener_same(const struct pps_listener *a, const struct pps_listener *b);

#endif
