/* SPDX-License-Identifier: MIT
 *
 * start.c: the constructor, and the version this library says when it is run.
 *
 * LD_PRELOAD reaches every child of a server, so this runs in many images that never listen: it reads the environment
 * and nothing else. Only settings that can be judged from the environment alone stop a process here.
 */
#include "acquire.h"
#include "client_table.h"
#include "inherited.h"
#include "libc.h"
#include "listener.h"
#include "lock.h"
#include "own_fds.h"
#include "process.h"
#include "state.h"
#include <errno.h>
#include <ppshim/client.h>
#include <ppshim/journal.h>
#include <ppshim/log.h>
#include <ppshim/real.h>
#include <ppshim/stats.h>
#include <ppshim/trust.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern const char ppshim_version[];
__attribute__((visibility("default"))) const char ppshim_version[] = PPS_VERSION;

static void after_fork(bool at_once)
{
    pps_lock_after_fork();
    pps_trust_after_fork();
    pps_client_table_after_fork();
    pps_stats_after_fork();
    pps_journal_after_fork();
    pps_acquire_after_fork(at_once);
    atomic_store(&ppshim_status.accepts, 0);
}

_Noreturn static void stop(const char *error)
{
    pps_log_start(NULL, getenv("JOURNAL_STREAM"));
    pps_stop_misconfigured(error);
}

/* In the wrong libc the shim stays off, for a program that wants it on stops. Nothing but the environment is looked at.
 */
static bool is_at_home(void)
{
    char error[PPS_ERROR_TEXT];
    const char *trust = getenv("PPSHIM_TRUST");
    bool wanted = trust ? strcmp(trust, "none") != 0 : getenv("PPSHIM_HEADER_OPTIONAL") != NULL;
    if (pps_libc_is_ours())
        return true;
    if (wanted) {
        pps_libc_explain(error);
        stop(error);
    }
    return false;
}

static void read_settings_and_begin(void)
{
    char error[PPS_ERROR_TEXT];
    if (!pps_config_read(environ, &pps_config, error))
        stop(error);
    ppshim_status.settings = pps_config.checksum;
    if (!pps_config.on)
        return;
    pps_client_fall_back_on(&pps_client_table);
    pps_client_test_store(getenv("LIBPPSHIM_TEST_STORE"));
    pps_log_start(&pps_config, getenv("JOURNAL_STREAM"));
    pps_journal_begin(pps_config.journal, &pps_own_shelf);
    pps_process_start(after_fork);
    pps_listener_start(pps_acquire_is_in_use, pps_acquire_end);
    pps_listener_scan();
    pps_inherited_take();
    pps_stats_start(pps_config.stats); /* a process that serves one connection makes no file for it */
    atomic_store(&pps_on, true);
    atomic_store(&ppshim_status.on, 1);
}

__attribute__((constructor)) static void start(void)
{
    int saved = errno;
    pps_real_resolve();
    if (!getauxval(AT_SECURE) && is_at_home()) /* as secure_getenv(3): such an environment counts for nothing */
        read_settings_and_begin();
    errno = saved;
}

/* Running the library: the program interpreter is named here, and the linker is told to enter at pps_print_version. */
__attribute__((section(".interp"), used)) static const char interpreter[] = PPS_INTERP;

#if defined(__x86_64__) || defined(__i386__)
#define ENTRY __attribute__((force_align_arg_pointer))
#else
#define ENTRY
#endif

_Noreturn ENTRY void pps_print_version(void);
_Noreturn ENTRY void pps_print_version(void)
{
    static const char text[] = "libppshim " PPS_VERSION "\n";
    ssize_t n = write(STDOUT_FILENO, text, sizeof text - 1);
    _exit(n == sizeof text - 1 ? 0 : 1);
}
