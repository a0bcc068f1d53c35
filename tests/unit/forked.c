/* SPDX-License-Identifier: MIT
 *
 * forked.c: see forked.h.
 */
#include "forked.h"
#include "../../shim/preload/acquire.h"
#include "../../shim/preload/client_table.h"
#include "../../shim/preload/lock.h"
#include "../../shim/preload/process.h"
#include <ppshim/stats.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void after_fork(bool at_once)
{
    pps_lock_after_fork();
    pps_client_table_after_fork();
    pps_stats_after_fork();
    pps_acquire_after_fork(at_once);
}

void forked_start(void)
{
    static bool started;
    if (!started)
        pps_process_start(after_fork);
    started = true;
}

static bool run(pid_t child, bool (*work)(void))
{
    int status;
    if (child == 0)
        _exit(work() ? 0 : 1);
    return waitpid(child, &status, 0) == child && status == 0;
}

bool in_child(bool (*work)(void))
{
    return run(fork(), work);
}

bool in_raw_child(bool (*work)(void))
{
    return run((pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL), work);
}
