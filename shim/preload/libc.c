/* SPDX-License-Identifier: MIT
 *
 * libc.c: which libc this is (libc.h). A weak symbol tells, without a system call: a dlsym that finds nothing would
 * allocate its error.
 */
#include "libc.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

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

bool pps_libc_is_ours(void)
{
    return runs_on_musl() == BUILT_FOR_MUSL;
}

void pps_libc_explain(char text[PPS_ERROR_TEXT])
{
    char program[256];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    snprintf(text, PPS_ERROR_TEXT, "LD_PRELOAD: this libppshim is built for %s, and %s runs on %s: preload %s",
             BUILT_FOR_MUSL ? "musl" : "glibc", n > 0 ? program : "the program", BUILT_FOR_MUSL ? "glibc" : "musl",
             BUILT_FOR_MUSL ? "libppshim.so, built with the system's compiler"
                            : "libppshim-musl.so, built by `make musl`");
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
