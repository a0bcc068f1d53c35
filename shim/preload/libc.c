/* SPDX-License-Identifier: MIT
 *
 * libc.c: which libc this is (libc.h). A weak symbol tells, without a system call: a dlsym that finds nothing would
 * allocate its error.
 */
#include "libc.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __GLIBC__
#define BUILT_FOR_MUSL false
#else
#define BUILT_FOR_MUSL true
#endif

/* musl's linker enters its own third stage by this name. gnu_get_libc_version would not tell: gcompat has it for musl.
 */
extern void __dls3(void) __attribute__((weak));

static bool runs_on_musl(void)
{
    return __dls3 != NULL;
}

const char *pps_libc_mismatch(void)
{
    if (runs_on_musl() == BUILT_FOR_MUSL)
        return NULL;
    return BUILT_FOR_MUSL ? "LD_PRELOAD: this libppshim is built for musl, and the program runs on glibc: "
                            "preload libppshim.so, built with the system's compiler"
                          : "LD_PRELOAD: this libppshim is built for glibc, and the program runs on musl: "
                            "preload libppshim-musl.so, built by `make musl`";
}

/* glibc's pthread_atfork is linked in from a static part that needs __register_atfork, which musl lacks. */
#ifdef __GLIBC__
extern void *__dso_handle __attribute__((visibility("hidden")));
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso)
    __attribute__((weak));

void pps_libc_at_fork(void (*in_parent)(void), void (*in_child)(void))
{
    __register_atfork(NULL, in_parent, in_child, __dso_handle);
}
#else
void pps_libc_at_fork(void (*in_parent)(void), void (*in_child)(void))
{
    pthread_atfork(NULL, in_parent, in_child);
}
#endif
