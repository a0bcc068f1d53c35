/* SPDX-License-Identifier: MIT
 *
 * forbid.c: see forbid.h. Without CAP_SYS_ADMIN a filter wants that nothing it starts gains privileges.
 */
#include "forbid.h"
#include "../sys/bare/call.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(value, steps) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, steps)
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)

static bool install(const struct sock_fprog *program)
{
    return pps_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) == 0;
}

bool pps_go_forbid_serving(void)
{
    struct sock_filter filter[] = {
        LOAD(arch),
        SKIP_UNLESS(AUDIT_ARCH_X86_64, 7),
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
    return install(&program) || (pps_call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && install(&program));
}
