/* SPDX-License-Identifier: MIT
 *
 * hold.h: a thread that is held at one of its system calls, while others go on: mostly where it looks at what a client
 * sent, the moment between taking a connection from the kernel and telling the server of it, made as long as a case
 * needs. By seccomp: whatever is inside the library, it must make a system call to look.
 */
#ifndef HOLD_H
#define HOLD_H

#include "testing.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

/* This thread stops at its next call of either; the answer is a descriptor for the other functions. */
static inline int hold_at(uint32_t call, uint32_t other)
{
    struct sock_filter look[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof look / sizeof *look, .filter = look};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    int held = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (held < 0) {
        printf("seccomp's user notification\n");
        fflush(stdout);
        _exit(77);
    }
    return held;
}

static inline int hold_at_recv(void)
{
    return hold_at(SYS_recvfrom, SYS_recvmsg);
}

static inline void until_held(int held)
{
    struct pollfd p = {.fd = held, .events = POLLIN};
    IS(1, raw_poll(&p, 1, LONG));
    MUST(p.revents == POLLIN);
}

/* It goes on, and this returns when it has ended. */
static inline void let_go(int held)
{
    struct pollfd p = {.fd = held, .events = POLLIN};
    while (raw_poll(&p, 1, -1) == 1 && p.revents & POLLIN) {
        struct seccomp_notif call = {0};
        struct seccomp_notif_resp go_on = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        IS(0, ioctl(held, SECCOMP_IOCTL_NOTIF_RECV, &call));
        go_on.id = call.id;
        IS(0, ioctl(held, SECCOMP_IOCTL_NOTIF_SEND, &go_on));
    }
    MUST(syscall(SYS_close, held) == 0);
}

#endif
