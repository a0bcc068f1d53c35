/* SPDX-License-Identifier: MIT
 *
 * forbid.c: see forbid.h. Without CAP_SYS_ADMIN a filter wants that nothing it starts gains privileges.
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

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(value, steps) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, steps)
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)

static bool install(const struct sock_fprog *program)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0L, program, 0L, 0L, 0L) == 0;
}

bool pps_go_forbid_serving(void)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        SKIP_UNLESS(PROCESSOR, 7),
        LOAD(nr),
        SKIP_UNLESS(SYS_listen, 1),
        ANSWER(SECCOMP_RET_ERRNO | EPERM),
        SKIP_UNLESS(SYS_accept, 1),
        ANSWER(SECCOMP_RET_ERRNO | EPERM),
        SKIP_UNLESS(SYS_accept4, 1),
        ANSWER(SECCOMP_RET_ERRNO | EPERM),
        ANSWER(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return install(&program) || (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0 && install(&program));
}

#else

bool pps_go_forbid_serving(void)
{
    return false;
}

#endif
