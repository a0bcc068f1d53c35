/* SPDX-License-Identifier: MIT
 *
 * start.c: see start.h.
 */
#include "start.h"
#include "../preload/client_table.h"
#include "../sys/bare/call.h"
#include "../sys/bare/stack.h"
#include "../sys/bare/vdso.h"
#include "exec.h"
#include "gate.h"
#include "listener.h"
#include "shelf.h"
#include "state.h"
#include <fcntl.h>
#include <ppshim/client.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <ppshim/stats.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *value_of(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

_Noreturn static void stop(const struct pps_go_given *given, const char *error)
{
    pps_log_start(NULL, value_of(given->environment, "JOURNAL_STREAM"));
    pps_go_stop(error);
}

/* --- rewriting the sites --- */

/* What may be written that way need not be writable, nor become so. */
static bool write_through_proc(uint64_t at, const uint8_t *bytes, size_t size)
{
    int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    if (memory < 0)
        return false;
    bool written = pwrite(memory, bytes, size, (off_t)at) == (ssize_t)size;
    real_close(memory);
    return written;
}

/* Where there is no /proc, or it may not be used so (proc_mem.force_override): writable for a moment, and not
   executable in it. Nobody runs there yet. */
static bool write_in_place(uint64_t at, const uint8_t *bytes, size_t size)
{
    uint64_t first = at & ~UINT64_C(4095), length = ((at + size + 4095) & ~UINT64_C(4095)) - first;
    if (mprotect((void *)first, length, PROT_READ | PROT_WRITE) != 0)
        return false;
    memcpy((void *)at, bytes, size);
    return mprotect((void *)first, length, PROT_READ | PROT_EXEC) == 0;
}

static bool rewrite(uint64_t at, void (*gate)(void))
{
    uint8_t jump[PPS_GO_JUMP_SIZE];
    pps_go_jump(jump, (uint64_t)gate);
    return write_through_proc(at, jump, sizeof jump) || write_in_place(at, jump, sizeof jump);
}

static const char *take_sites(const struct pps_go_program *program)
{
    struct pps_go_sites sites;
    const char *why = pps_go_find_sites(program, &sites);
    if (why)
        return why;
    bool done =
        (!sites.epoll_ctl || rewrite(sites.epoll_ctl, pps_go_gate_epoll_ctl)) && rewrite(sites.syscall6, pps_go_gate);
    return done ? NULL : "its code may not be written to, neither through /proc/self/mem nor by mprotect";
}

/* --- together --- */

static void take_settings(const struct pps_go_given *given)
{
    char error[PPS_ERROR_TEXT];
    if (!pps_config_read(given->environment, &pps_go_config, error))
        stop(given, error);
    pps_go_status.settings = pps_go_config.checksum;
    if (!pps_go_config.local_from_header)
        pps_go_calls[SYS_getsockname] = PPS_GO_PASS;
    if (pps_go_config.inherited && !given->program) /* where there is a preload, its constructor does that */
        stop(given, "PPSHIM_INHERITED=on: a static Go program's inherited connection is not looked at for a header: "
                    "link it dynamically, or leave it unset");
}

/* Why it cannot be served. */
static long begin(void *with)
{
    const struct pps_go_given *given = with;
    take_settings(given);
    if (!pps_go_config.on) {
        memset(pps_go_calls, PPS_GO_PASS, sizeof pps_go_calls);
        return 0;
    }
    pps_go_owner = getpid();
    pps_vdso_find();
    pps_log_start(&pps_go_config, value_of(given->environment, "JOURNAL_STREAM"));
    pps_client_fall_back_on(&pps_client_table);
    pps_client_test_store(value_of(given->environment, "LIBPPSHIM_TEST_STORE"));
    pps_journal_begin(pps_go_config.journal, &pps_go_shelf);
    pps_stats_start(pps_go_config.stats);
    pps_go_exec_start(given->tool);
    const char *why = given->program ? take_sites(given->program) : NULL;
    if (why)
        return (long)why;
    pps_go_listener_scan();
    atomic_store(&pps_go_status.on, 1);
    return 0;
}

const char *pps_go_start(const struct pps_go_given *given)
{
    if (given->program && !pps_go_is(given->program))
        return NULL;
    if (!pps_stack_make())
        pps_call(SYS_exit_group, PPS_EXIT_CONFIG); /* not even a line can be built without a stack */
    return (const char *)pps_stack_call(begin, (void *)given);
}
