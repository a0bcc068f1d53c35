/* SPDX-License-Identifier: MIT
 *
 * watch.c: see watch.h.
 */
#include "watch.h"
#include "../preload/libc.h"
#include "../preload/own_fds.h"
#include "../preload/state.h"
#include "forbid.h"
#include <errno.h>
#include <ppshim/govern.h>
#include <ppshim/listener_probe.h>
#include <ppshim/quiet.h>
#include <ppshim/real.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if __has_include(<linux/seccomp.h>)
#include <linux/seccomp.h>
#endif

#ifdef SECCOMP_USER_NOTIF_FLAG_CONTINUE

#define STACK 0x40000 /* also holds what libc keeps of a thread */

static struct pps_go_watcher watcher;
static int questions; /* where they come in */

/* --- one question --- */

static bool is_of_this_process(pid_t thread)
{
    return syscall(SYS_tgkill, getpid(), thread, 0) == 0;
}

static int refuse_child(void)
{
    watcher.refused_child();
    return EPERM;
}

/* 0: the kernel goes on; else the error of the call, which is the kernel's own where the socket cannot be asked. */
static int judge(const struct seccomp_data *call)
{
    struct pps_probe p;
    int fd = (int)call->args[0];
    bool told = call->nr == SYS_listen ? pps_probe_before_listen(fd, &p) : pps_probe(fd, &p);
    if (!told)
        return errno;
    if (pps_govern_wants(&pps_config, &p))
        watcher.stop(&p);
    if (p.listens)
        pps_govern_pass_over(&pps_config, &p);
    return 0;
}

/* ENOENT: who asked was interrupted, and asks again. */
static bool answer(uint64_t id, int error)
{
    struct seccomp_notif_resp r = {.id = id, .error = -error, .flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    return ioctl(questions, SECCOMP_IOCTL_NOTIF_SEND, &r) == 0;
}

/* --- the thread --- */

static void *watch(void *unused)
{
    prctl(PR_SET_NAME, "ppshim");
    for (;;) {
        struct seccomp_notif asked = {0};
        if (ioctl(questions, SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0)
            answer(asked.id, is_of_this_process((pid_t)asked.pid) ? judge(&asked.data) : refuse_child());
        else if (errno != EINTR && errno != ENOENT) /* the program closed it, and each call fails from here on */
            return unused;
    }
}

static bool start_thread(void)
{
    struct pps_quiet quiet;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    pps_quiet_begin(&quiet); /* it is born with its signals blocked */
    bool started = pthread_create(&thread, &attributes, watch, NULL) == 0;
    pps_quiet_end(&quiet);
    pthread_attr_destroy(&attributes);
    return started;
}

/* --- together --- */

static void let_go(void)
{
    if (pps_own_shelf.holds(questions))
        pps_own_shelf.take(questions);
}

/* Nobody asked yet: a kernel that knows the answer says that there is no such question (Linux 5.5). */
static bool can_go_on(void)
{
    return !answer(0, 0) && errno == ENOENT;
}

bool pps_go_watch(const struct pps_go_watcher *w)
{
    int fd = pps_go_ask_before_serving();
    if (fd < 0)
        return false;
    questions = pps_own_shelf.put(fd);
    watcher = *w;
    if (!can_go_on() || !start_thread()) {
        let_go();
        return false;
    }
    pps_libc_at_fork(NULL, let_go);
    return true;
}

#else

bool pps_go_watch(const struct pps_go_watcher *w)
{
    (void)w;
    return false;
}

#endif
