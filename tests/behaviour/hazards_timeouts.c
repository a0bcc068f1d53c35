/* SPDX-License-Identifier: MIT
 *
 * hazards_timeouts.c: time that runs out: the server's own in select, and that of peers who wait at a listener which
 * the server no longer waits for, because it closed it where nobody sees it (a raw system call, as libuv's).
 *
 * `hazards_timeouts NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list`
 * prints the names. The clients are 127.0.0.2, which the environment must trust, with a PPSHIM_TIMEOUT that a case can
 * wait for.
 */
#include "hazards.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/select.h>

/* --- cases: the server's own time --- */

enum { MANY = 2048 }; /* descriptors asked about: more than an fd_set holds */

static int selected_among_many(int fd, struct timeval *t)
{
    static unsigned long set[MANY / (8 * sizeof(long))];
    memset(set, 0, sizeof set);
    set[(size_t)fd / (8 * sizeof(long))] |= 1UL << ((size_t)fd % (8 * sizeof(long)));
    return select(MANY, (fd_set *)set, NULL, NULL, t);
}

static void leave_rubbish_on_the_stack(void)
{
    volatile char rubbish[4096];
    memset((void *)rubbish, 0x5A, sizeof rubbish);
}

static void let_no_descriptor_be_opened(void)
{
    struct rlimit numbers;
    int lowest = open("/dev/null", O_RDONLY);
    MUST(lowest >= 0 && syscall(SYS_close, lowest) == 0 && getrlimit(RLIMIT_NOFILE, &numbers) == 0);
    numbers.rlim_cur = (rlim_t)lowest;
    IS(0, setrlimit(RLIMIT_NOFILE, &numbers));
    FAILS_WITH(EMFILE, open("/dev/null", O_RDONLY));
}

static void select_writes_back_the_time_that_is_left_also_without_a_descriptor_to_spare(void)
{
    int quiet = listener(0), called = listener(0);
    struct client c = introduced(called);
    let_no_descriptor_be_opened();
    struct timeval t = {.tv_usec = MOMENT * 1000};
    leave_rubbish_on_the_stack();
    errno = ENOTTY;
    IS(0, selected_among_many(quiet, &t));
    IS(ENOTTY, errno);
    MUST(t.tv_sec == 0 && t.tv_usec == 0);
    t = (struct timeval){.tv_sec = 1000};
    leave_rubbish_on_the_stack();
    IS(1, selected_among_many(called, &t));
    IS(ENOTTY, errno);
    MUST((t.tv_sec < 1000 || t.tv_usec == 0) && t.tv_sec <= 1000 && t.tv_sec > 0);
    MUST(t.tv_usec >= 0 && t.tv_usec < 1000000);
    MUST(close(c.fd) == 0);
}

/* --- */

static const struct hazard cases[] = {
    CASE(select_writes_back_the_time_that_is_left_also_without_a_descriptor_to_spare),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases, argc, argv);
}
