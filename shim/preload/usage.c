/* SPDX-License-Identifier: MIT
 *
 * usage.c: see usage.h. Words are written only when they change: many threads look at them.
 */
#include "usage.h"
#include "record.h"
#include "state.h"
#include <fcntl.h>

static struct pps_usage nowhere;
static _Thread_local char me;

struct pps_usage *pps_usage_of(const struct pps_listener *l)
{
    struct pps_record *r = pps_record_of(l);
    return pps_record_is_of(r, l) ? &r->usage : &nowhere;
}

static void set(atomic_bool *flag)
{
    if (!atomic_load_explicit(flag, memory_order_relaxed))
        atomic_store(flag, true);
}

bool pps_usage_accepts(struct pps_usage *u, int flags)
{
    if (atomic_load(&u->accepting) != flags + 1) {
        atomic_store(&u->accepting, flags + 1);
        atomic_store(&ppshim_status.accepts, 1);
    }
    return atomic_load(&u->passed) && atomic_exchange(&u->passed, false);
}

int pps_usage_flags(const struct pps_usage *u)
{
    return atomic_load(&u->accepting) - 1;
}

void pps_usage_pass(struct pps_usage *u)
{
    set(&u->passed);
}

void pps_usage_visit(struct pps_usage *u)
{
    uintptr_t nobody = 0, this = (uintptr_t)&me;
    if (atomic_load_explicit(&u->visitor, memory_order_relaxed) == this)
        return;
    if (!atomic_compare_exchange_strong(&u->visitor, &nobody, this) && nobody != this)
        set(&u->shared);
}

bool pps_usage_is_shared(const struct pps_usage *u)
{
    return atomic_load(&u->shared);
}

void pps_usage_poll(struct pps_usage *u)
{
    set(&u->polled);
}

bool pps_usage_is_polled(const struct pps_usage *u)
{
    return atomic_load(&u->polled);
}

bool pps_usage_is_blocking(struct pps_usage *u, int listener_fd)
{
    int known = atomic_load_explicit(&u->blocking, memory_order_relaxed);
    if (!known) {
        int mode = fcntl(listener_fd, F_GETFL); /* a handler may have closed it: then accept will say so */
        known = mode >= 0 && mode & O_NONBLOCK ? -1 : 1;
        atomic_store_explicit(&u->blocking, known, memory_order_relaxed);
    }
    return known > 0;
}

void pps_usage_ask_blocking_again(struct pps_usage *u)
{
    atomic_store_explicit(&u->blocking, 0, memory_order_relaxed);
}

void pps_usage_open(struct pps_usage *u)
{
    atomic_store(&u->passed, false);
    atomic_store(&u->blocking, 0);
    pps_usage_after_fork(u);
}

void pps_usage_after_fork(struct pps_usage *u)
{
    atomic_store(&u->accepting, 0);
    atomic_store(&u->polled, false);
    atomic_store(&u->shared, false);
    atomic_store(&u->visitor, 0);
}
