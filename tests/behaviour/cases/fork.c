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
    CASE(watcher_whose_children_accept_takes_nothing),
    CASE(child_that_only_watches_takes_nothing),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
