/* SPDX-License-Identifier: MIT
 *
 * fork.c: processes that share a listener or an epoll after fork: servers that daemonize, masters that watch while
 * children accept.
 */
#include "testing.h"

static void server_that_daemonizes_after_epoll_ctl_works(void)
{
    int done_pipe[2], parent_lives[2];
    char byte = 'x';
    MUST(pipe(done_pipe) == 0 && pipe(parent_lives) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        int l = listener(SOCK_NONBLOCK);
        warm(l);
        struct watch w = watching(EPOLL, l);
        parked(l);
        if (fork() != 0)
            _exit(0);
        MUST(close(parent_lives[1]) == 0 && read(parent_lives[0], &byte, 1) == 0);
        IS(0, wait_for(&w, MOMENT));
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        is_exact(&w);
        is_exact(&w);
        MUST(write(done_pipe[1], "k", 1) == 1);
        _exit(0);
    }
    MUST(close(parent_lives[1]) == 0 && close(done_pipe[1]) == 0);
    ended_well(parent);
    IS(1, read(done_pipe[0], &byte, 1));
}

/* The epoll is one for both, and in it stands the parent's private one. */
static void child_with_its_parents_epoll_does_not_spin_for_its_parents_peers(void)
{
    int l = listener(SOCK_NONBLOCK);
    warm(l);
    struct watch w = watching(EPOLL, l);
    struct client silent = parked(l);
    pid_t child = fork();
    if (child == 0) {
        struct timespec spent;
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        introduce(&silent);
        IS(0, wait_for(&w, 10 * MOMENT));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
        long ms = spent.tv_sec * 1000 + spent.tv_nsec / 1000000;
        if (ms > 3 * MOMENT)
            fail(__LINE__, "waiting %d ms took %ld ms of the processor", 10 * MOMENT, ms);
        is_exact(&w);
        _exit(0);
    }
    ended_well(child);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
}

/* The same the other way round: the child is busy when a peer of its own speaks. */
static void parent_with_its_childs_epoll_does_not_spin_for_its_childs_peers(void)
{
    int l = listener(SOCK_NONBLOCK), busy[2], ready[2];
    char byte;
    MUST(pipe2(busy, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0);
    warm(l);
    struct watch w = watching(EPOLL, l);
    pid_t child = fork();
    if (child == 0) {
        warm(l);
        struct client silent = dial(l);
        IS(0, wait_for(&w, MOMENT));
        MUST(!in_kernel_queue(l));
        introduce(&silent);
        MUST(write(ready[1], "x", 1) == 1 && close(busy[1]) == 0 && read(busy[0], &byte, 1) == 0);
        IS(1, wait_for(&w, LONG));
        accepts(l, &silent);
        _exit(0);
    }
    struct timespec before, after;
    IS(1, read(ready[0], &byte, 1));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    IS(0, wait_for(&w, 10 * MOMENT));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    long us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    if (us > 3 * MOMENT * 1000)
        fail(__LINE__, "waiting %d ms took %ld us of the processor", 10 * MOMENT, us);
    MUST(close(busy[1]) == 0);
    ended_well(child);
}

/* --- who shares a blocking accept --- */

static long times_woken(pid_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    MUST(n > 0 && close(fd) == 0);
    text[n] = 0;
    const char *line = strstr(text, "\nvoluntary_ctxt_switches:");
    MUST(line);
    return atol(line + strlen("\nvoluntary_ctxt_switches:"));
}

/* Has a silent peer, so that it watches that one beside the listener. */
static pid_t start_worker(int l, int report, int go_on)
{
    char byte = 0;
    pid_t child = fork();
    if (child != 0)
        return child;
    warm(l);
    parked(l);
    MUST(write(report, &byte, 1) == 1 && read(go_on, &byte, 1) == 1);
    for (;;)
        MUST(close(accept(l, NULL, NULL)) == 0 && write(report, &byte, 1) == 1);
}

/* For good: longer than the library believes what it knows of the listener. */
static long until_it_sleeps_on(pid_t worker)
{
    int stat = stat_of(worker);
    for (long before = -1, woken;; before = woken) {
        until_asleep(stat);
        woken = times_woken(worker);
        if (before == woken)
            break;
        usleep(MOMENT * 1000);
    }
    MUST(close(stat) == 0);
    return times_woken(worker);
}

/* The others sleep on: none of them is woken to find it gone. */
static void connection_wakes_one_of_the_processes_that_share_a_blocking_accept(void)
{
    enum { WORKERS = 3, ROUNDS = 4 };
    int l = listener(0), report[2], go_on[2];
    pid_t workers[WORKERS];
    char byte;
    MUST(pipe2(report, O_CLOEXEC) == 0 && pipe2(go_on, O_CLOEXEC) == 0);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = start_worker(l, report[1], go_on[0]);
        IS(1, read(report[0], &byte, 1));
    }
    IS(WORKERS, write(go_on[1], "xxx", WORKERS));
    for (int waiting = 1; waiting; usleep(200))
        IS(0, ioctl(go_on[0], FIONREAD, &waiting));
    for (int round = 0; round < ROUNDS; round++) {
        long before[WORKERS], woken = 0;
        for (int i = 0; i < WORKERS; i++)
            before[i] = until_it_sleeps_on(workers[i]);
        struct client c = introduced(l);
        IS(1, read(report[0], &byte, 1));
        for (int i = 0; i < WORKERS; i++)
            woken += until_it_sleeps_on(workers[i]) != before[i];
        IS(1, woken);
        MUST(close(c.fd) == 0);
    }
    for (int i = 0; i < WORKERS; i++)
        MUST(kill(workers[i], SIGKILL) == 0 && waitpid(workers[i], NULL, 0) == workers[i]);
}

/* --- who waits but does not accept --- */

static void count_socket(int fd, const char *what, void *count)
{
    (void)fd;
    *(unsigned *)count += strncmp(what, "socket:", 7) == 0 || strstr(what, "eventpoll");
}

static unsigned open_sockets(void)
{
    unsigned count = 0;
    descriptors(count_socket, &count);
    return count;
}

static void accepted_by_a_child(int l, const struct client *c)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        int fd = accept(l, NULL, NULL);
        _exit(fd >= 0 && works(fd, c) ? 0 : 1);
    }
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

/* Dovecot's master, inetd: it watches, a child accepts. */
static void watcher_whose_children_accept_takes_nothing(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        for (int round = 0; round < 3; round++) {
            struct client c = introduced(l);
            unsigned before = open_sockets();
            for (int i = 0; i < 3; i++)
                IS(1, wait_for(&w, LONG));
            IS(before, open_sockets());
            MUST(in_kernel_queue(l));
            accepted_by_a_child(l, &c);
            IS(0, wait_for(&w, 0));
            struct client silent = dial(l);
            before = open_sockets();
            IS(1, wait_for(&w, LONG)); /* as the kernel has it: only an accept could find out more */
            MUST(in_kernel_queue(l));
            c = introduced(l);
            IS(1, wait_for(&w, LONG));
            IS(before + 1, open_sockets());
            accepted_by_a_child(l, &c);
            MUST(close(silent.fd) == 0 && close(c.fd) == 0);
        }
    }
}

/* A master that has accepted itself, and its child, which has not. */
static void child_that_only_watches_takes_nothing(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0), status;
        struct watch w = watching(way, l);
        warm(l);
        struct client c = introduced(l);
        arrived(l);
        pid_t child = fork();
        if (child == 0) {
            struct watch again = watching(way, l);
            unsigned before = open_sockets();
            IS(1, wait_for(&again, LONG));
            IS(1, wait_for(&again, LONG));
            IS(before, open_sockets());
            MUST(in_kernel_queue(l));
            _exit(0);
        }
        MUST(waitpid(child, &status, 0) == child && status == 0);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
    }
}

static const struct test cases[] = {
    CASE(server_that_daemonizes_after_epoll_ctl_works),
    CASE(child_with_its_parents_epoll_does_not_spin_for_its_parents_peers),
    CASE(parent_with_its_childs_epoll_does_not_spin_for_its_childs_peers),
    CASE(connection_wakes_one_of_the_processes_that_share_a_blocking_accept),
    CASE(watcher_whose_children_accept_takes_nothing),
    CASE(child_that_only_watches_takes_nothing),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
