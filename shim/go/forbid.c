/* SPDX-License-Identifier: MIT
 *
 * forbid.c: see forbid.h.
 */
#include "forbid.h"
#include <stddef.h>

#if defined(__x86_64__)
#define PROCESSOR AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define PROCESSOR AUDIT_ARCH_AARCH64
#endif

#if defined(PROCESSOR) && __has_include(<linux/seccomp.h>)
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_RET_USER_NOTIF /* Linux 5.0 */
#define SECCOMP_RET_USER_NOTIF 0x7fc00000U
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(value, steps) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, steps)
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)

static long install(const struct sock_fprog *program, unsigned long flags)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program, 0L, 0L, 0L);
}

/* Without CAP_SYS_ADMIN a filter wants that nothing it starts gains privileges. */
static long answer_serving(unsigned what, unsigned long flags)
{
    /* clang-format off */
    struct sock_filter filter[] = {
        LOAD(arch),
        SKIP_UNLESS(PROCESSOR, 7),
        LOAD(nr),
        SKIP_UNLESS(SYS_listen, 1),
        ANSWER(what),
        SKIP_UNLESS(SYS_accept, 1),
        ANSWER(what),
        SKIP_UNLESS(SYS_accept4, 1),
        ANSWER(what),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    /* clang-format on */
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    long result = install(&program, flags);
    if (result < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0)
        result = install(&program, flags);
    return result;
}

bool pps_go_forbid_serving(void)
{
    return answer_serving(SECCOMP_RET_ERRNO | EPERM, 0) == 0;
}

/* Who asks waits for the answer through signals, which Go programs send themselves all the time. */
int pps_go_ask_before_serving(void)
{
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    long fd = answer_serving(SECCOMP_RET_USER_NOTIF, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    return (int)(fd >= 0 || errno != EINVAL ? fd : answer_serving(SECCOMP_RET_USER_NOTIF, flags));
}

#else

bool pps_go_forbid_serving(void)
{
    return false;
}

int pps_go_ask_before_serving(void)
{
    return -1;
}

#endif
