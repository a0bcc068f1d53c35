/* SPDX-License-Identifier: MIT
 *
 * process.c: see process.h.
 */
#include "process.h"
#include "libc.h"
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static _Atomic pid_t owner;
static _Atomic unsigned epoch;
static atomic_bool has_forked;
static void (*run_after_fork)(bool at_once);

/* A page the kernel zeroes in every forked child (Linux 4.14) but not in a vfork child: it tells the two apart without
   a handler. NULL where the kernel has no such thing. */
static _Atomic int *unforked;

static void become_owner(bool at_once)
{
    atomic_store(&owner, getpid());
    atomic_fetch_add(&epoch, 1);
    if (unforked)
        atomic_store(unforked, 1);
    run_after_fork(at_once);
}

static void in_parent(void)
{
    atomic_store_explicit(&has_forked, true, memory_order_relaxed);
}

static void in_child(void)
{
    become_owner(true);
}

void pps_process_notice_fork(void)
{
    if (unforked && !atomic_load_explicit(unforked, memory_order_relaxed))
        become_owner(false);
}

bool pps_process_is_owner(void)
{
    pps_process_notice_fork();
    return atomic_load(&owner) == getpid();
}

bool pps_process_has_threads(void)
{
    extern char __libc_single_threaded __attribute__((weak)); /* glibc 2.32 */
    return !&__libc_single_threaded || !__libc_single_threaded;
}

bool pps_process_has_family(void)
{
    return atomic_load_explicit(&has_forked, memory_order_relaxed) || pps_process_epoch();
}

unsigned pps_process_epoch(void)
{
    return atomic_load(&epoch);
}

void pps_process_start(void (*after_fork)(bool at_once))
{
    void *page = mmap(NULL, sizeof *unforked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED && madvise(page, sizeof *unforked, MADV_WIPEONFORK) == 0) {
        unforked = page;
        atomic_store(unforked, 1);
    }
    run_after_fork = after_fork;
    atomic_store(&owner, getpid());
    pps_libc_at_fork(in_parent, in_child);
}
