/* SPDX-License-Identifier: MIT
 *
 * real.c: the next definitions (real.h). One pointer a call; a race of two first uses stores the same value twice.
 */
#include <dlfcn.h>
#include <errno.h>
#include <ppshim/real.h>
#include <stdatomic.h>
#include <string.h>

static void *_Atomic next_symbols[32];

enum {
#define X(returns, name, parameters, arguments) NEXT_##name,
    PPS_REAL_CALLS(X)
#undef X
        NEXT_COUNT
};
_Static_assert(NEXT_COUNT <= 32, "next_symbols holds every call");

/* A call this libc does not have (closefrom in musl): the server cannot have been linked to it, but another preload may
   look it up and call it. */
static long missing(void)
{
    errno = ENOSYS;
    return -1;
}

/* By which name libc has what our headers call so (real.h). */
static const char *name_in_libc(const char *name)
{
#ifdef PPS_TWO_TIMES
    static const char *const others[][2] = {{"ppoll", "__ppoll64"},
                                            {"select", "__select64"},
                                            {"pselect", "__pselect64"},
                                            {"epoll_pwait2", "__epoll_pwait2_time64"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i][0]) == 0)
            return others[i][1];
#endif
    return name;
}

static void *resolve(int which, const char *name)
{
    int saved = errno;
    void *next = dlsym(RTLD_NEXT, name_in_libc(name));
    errno = saved;
    if (!next)
        next = (void *)missing;
    atomic_store_explicit(&next_symbols[which], next, memory_order_release);
    return next;
}

static void *next_of(int which, const char *name)
{
    void *next = atomic_load_explicit(&next_symbols[which], memory_order_acquire);
    return next ? next : resolve(which, name);
}

#define X(returns, name, parameters, arguments)                                                                        \
    PPS_FORWARDS returns real_##name parameters                                                                        \
    {                                                                                                                  \
        PPS_FORWARD((returns(*) parameters)next_of(NEXT_##name, #name)) arguments;                                     \
    }
PPS_REAL_CALLS(X)
#undef X

void pps_real_resolve(void)
{
#define X(returns, name, parameters, arguments) next_of(NEXT_##name, #name);
    PPS_REAL_CALLS(X)
#undef X
}
