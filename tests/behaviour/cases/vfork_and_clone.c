/* SPDX-License-Identifier: MIT
 *
 * vfork_and_clone.c: children that no pthread_atfork handler sees: of vfork, posix_spawn and a raw clone.
 */
#include "testing.h"
#include <spawn.h>

extern char **environ;

/* `vfork_and_clone --sockets` ends with the number of sockets and of the kernel's anonymous files it was given. */
static void count_inherited(int fd, const char *what, void *count)
{
    (void)fd;
    *(int *)count += strncmp(what, "socket:", 7) == 0 || strncmp(what, "anon_inode:", 11) == 0;
}

static int inherited(void)
{
    int count = 0;
    descriptors(count_inherited, &count);
    return count;
}

static char *const count_command[] = {(char[]){"vfork_and_clone"}, (char[]){"--sockets"}, NULL};

static void gives_only_the_listener(pid_t child)
{
    int status;
    MUST(child > 0);
    IS(child, waitpid(child, &status, 0));
    MUST(WIFEXITED(status));
    IS(1, WEXITSTATUS(status));
}

static void program_started_by_vfork_or_posix_spawn_has_no_waiting_peers(void)
{
    int l = listener(0);
    struct watch w = watching(EPOLL, l);
    pid_t child;
    warm(l);
    struct client silent = parked(l), other = parked(l);
    for (int round = 0; round < 3; round++) {
        step = "vfork";
        child = vfork();
        if (child == 0) {
            execv("/proc/self/exe", count_command);
            _exit(100);
        }
        gives_only_the_listener(child);
        step = "posix_spawn";
        IS(0, posix_spawn(&child, "/proc/self/exe", NULL, NULL, count_command, environ));
        gives_only_the_listener(child);
    }
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
    IS(0, wait_for(&w, 0));
    introduce(&other);
    IS(1, wait_for(&w, LONG));
    accepts(l, &other);
    is_exact(&w);
}

/* Between vfork and exec the child closes what it does not want its program to have: its own copies. */
static void vfork_child_that_closes_disturbs_nobody(void)
{
    static int kind; /* no register, which the child of a vfork could spoil */
    for (; kind < 4; kind++) {
        int l = listener(0), epoll = epoll_create1(EPOLL_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
        struct watch w = {EPOLL, l, epoll};
        step = (const char *const[]){"close", "dup2", "closefrom", "close_range"}[kind];
        warm(l);
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
        struct client silent = parked(l), held = introduced(l);
        IS(1, wait_for(&w, LONG));
        pid_t child = vfork();
        if (child == 0) {
            switch (kind) {
            case 0:
                close(l);
                close(epoll);
                break;
            case 1:
                dup2(null, l);
                dup2(null, epoll);
                break;
            case 2:
                closefrom(3);
                break;
            case 3:
                close_range(3, ~0U, 0);
            }
            _exit(0);
        }
        ended_well(child);
        IS(1, wait_for(&w, LONG));
        accepts(l, &held);
        IS(0, wait_for(&w, 0));
        introduce(&silent);
        IS(1, wait_for(&w, LONG));
        accepts(l, &silent);
        is_exact(&w);
    }
}

static pid_t raw_fork(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* No pthread_atfork handler ran in it. */
static void child_of_a_raw_clone_accepts_and_leaves_its_parents_peers_alone(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch w = watching(POLL, l);
    warm(l);
    int before = open_fds();
    struct client silent = parked(l), other = parked(l), c = introduced(l);
    arrived(l);
    pid_t child = raw_fork();
    if (child == 0) {
        accepts(l, &c);
        IS(before + 2, open_fds()); /* two clients */
        warm(l);
        is_exact(&w);
        FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
        _exit(0);
    }
    ended_well(child);
    MUST(close(c.fd) == 0);
    IS(0, wait_for(&w, MOMENT));
    introduce(&other);
    IS(1, wait_for(&w, LONG));
    accepts(l, &other);
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
    is_exact(&w);
}

static void first_accept_in_the_child_of_a_raw_clone_makes_its_waits_exact(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch w = watching(POLL, l);
    warm(l);
    parked(l);
    struct client c = introduced(l);
    pid_t child = raw_fork();
    if (child == 0) {
        accepts(l, &c);
        is_exact(&w);
        _exit(0);
    }
    ended_well(child);
}

static void held_peer_ends_while_the_child_of_a_raw_clone_lives(void)
{
    int l = listener(SOCK_NONBLOCK), ready[2], over[2];
    char byte = 'x';
    struct watch w = watching(POLL, l);
    warm(l);
    struct client c = introduced(l);
    IS(1, wait_for(&w, LONG));
    MUST(pipe(ready) == 0 && pipe(over) == 0);
    pid_t child = raw_fork();
    if (child == 0) {
        MUST(close(over[1]) == 0);
        IS(0, wait_for(&w, 0));
        MUST(write(ready[1], &byte, 1) == 1);
        IS(0, read(over[0], &byte, 1));
        _exit(0);
    }
    IS(1, read(ready[0], &byte, 1));
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0 && close(fd) == 0);
    is_closed(&c);
    MUST(close(over[1]) == 0);
    ended_well(child);
}

/* A child that holds copies and never calls us: what the parent ends must end all the same, and nothing must spin. */
static void copies_held_by_a_raw_clone_keep_nothing_open(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        int l = listener(SOCK_NONBLOCK), held[2];
        char byte;
        MUST(pipe2(held, O_CLOEXEC) == 0);
        warm(l);
        struct watch w = watching(way, l);
        struct client wrong = parked(l), good = parked(l), left = parked(l);
        pid_t child = raw_fork();
        if (child == 0) {
            syscall(SYS_close, held[1]);
            syscall(SYS_read, held[0], &byte, 1);
            syscall(SYS_exit_group, 0);
        }
        MUST(write(wrong.fd, "nonsense", 8) == 8);
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        while (wait_for(&w, MOMENT) != 0)
            ;
        is_closed(&wrong);
        introduce(&good);
        IS(1, wait_for(&w, LONG));
        int fd = accept(l, NULL, NULL);
        MUST(works(fd, &good));
        MUST(write(good.fd, "more", 4) == 4); /* with a copy still in the private epoll this would wake it */
        struct timespec before, after;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
        IS(0, wait_for(&w, MOMENT));
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
        MUST((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec < MOMENT * 1000000 / 4);
        MUST(close(l) == 0);
        is_closed(&left);
        MUST(close(held[1]) == 0 && close(fd) == 0);
        ended_well(child);
    }
}

static const struct test cases[] = {
    CASE(program_started_by_vfork_or_posix_spawn_has_no_waiting_peers),
    CASE(vfork_child_that_closes_disturbs_nobody),
    CASE(child_of_a_raw_clone_accepts_and_leaves_its_parents_peers_alone),
    CASE(first_accept_in_the_child_of_a_raw_clone_makes_its_waits_exact),
    CASE(held_peer_ends_while_the_child_of_a_raw_clone_lives),
    CASE(copies_held_by_a_raw_clone_keep_nothing_open),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    if (argc == 2 && strcmp(argv[1], "--sockets") == 0)
        return inherited();
    return run_case(cases, sizeof cases / sizeof *cases);
}
