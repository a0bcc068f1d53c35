/* SPDX-License-Identifier: MIT
 *
 * gate.h: the ways in, and what they ask of C. gate.S.
 */
#ifndef PPSHIM_GO_GATE_H
#define PPSHIM_GO_GATE_H

/* What a number of a system call means to the gate. */
#define PPS_GO_PASS 0      /* the kernel's */
#define PPS_GO_TAKE 1      /* ours */
#define PPS_GO_CLOSE 2     /* ours if the descriptor is a listener's, or may be; else it is forgotten what it was */
#define PPS_GO_EPOLL_CTL 3 /* ours unless the descriptor is known to be no listener */
#define PPS_GO_NUMBERS 512

/* Right before the gate, for who looks in from outside: struct pps_go_mark. */
#define PPS_GO_MARK "libppshim's gate"
#define PPS_GO_MARK_SIZE 16
#define PPS_GO_VERSION_SIZE 24

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

/* Arguments as the kernel has them; gate.S knows the layout. */
struct pps_go_call {
    long number, a[6];
};

/* Whoever follows a rewritten system call to the gate finds what it is the gate of, in a library and in an image alike.
 */
struct pps_go_mark {
    char mark[PPS_GO_MARK_SIZE], version[PPS_GO_VERSION_SIZE];
    int64_t status; /* struct pps_status (status.h), as a distance from the gate */
};

extern uint8_t pps_go_calls[PPS_GO_NUMBERS];

/* What stands in place of a system call jumps here: of Syscall6, of runtime.epollctl. */
void pps_go_gate(void);
void pps_go_gate_epoll_ctl(void);

/* The gate's way into C, on a stack of ours: the kernel's answer, or ours in its form. */
long pps_go_answer(const struct pps_go_call *call);

#endif

#endif
