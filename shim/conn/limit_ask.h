/* SPDX-License-Identifier: MIT
 *
 * limit_ask.h: is a connection that was accepted once still open? Asked of the kernel (sock_diag(7)), one exact look-up
 * a connection, however many the host has; no privilege needed.
 *
 * The kernel finds a TCP socket by its addresses and compares the cookie, which no other socket ever has. Open is what
 * some process has a descriptor of: half-closed by one side counts, closed by the server or reset does not, whatever
 * still lingers in the kernel.
 *
 * Any thread, any signal handler, with cancellation off. Never waits: the answer is there when the question was sent
 * (netlink calls the kernel's own side at once). May change errno.
 */
#ifndef PPSHIM_LIMIT_ASK_H
#define PPSHIM_LIMIT_ASK_H

#include <ppshim/addr.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define PPS_ASK_ANY_COOKIE UINT64_MAX

struct pps_asked {
    uint64_t cookie;             /* SO_COOKIE */
    struct pps_addr peer, local; /* as the kernel has them */
    uint64_t inode;              /* of an AF_UNIX socket, which has no such addresses; else 0 */
    uint16_t interface;          /* it is bound to; 0: none */
};

enum pps_ask { PPS_ASK_OPEN, PPS_ASK_ENDED, PPS_ASK_FAILED };

/* From begin to end, within one call of the server's, a descriptor is open and signals are held back: a handler that
   forks or jumps would leave it open. */
struct pps_asker {
    int fd; /* -1: there is none to be had, and every question fails */
    int why;
    sigset_t signals;
};
void pps_ask_begin(struct pps_asker *asker);
void pps_ask_end(const struct pps_asker *asker);

/* FAILED: errno. */
enum pps_ask pps_ask(const struct pps_asker *asker, const struct pps_asked *connection);

/* By which processes hold a TCP connection; 0: nobody does, for it was not accepted yet or is closed, or FAILED. */
unsigned long pps_ask_inode(const struct pps_asker *asker, const struct pps_asked *connection);

#endif
