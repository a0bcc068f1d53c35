/* SPDX-License-Identifier: MIT
 *
 * fd_reuse.c: what servers do with processes, threads and descriptors while connections wait for their headers:
 * fork in signal handlers, vfork, raw clone, closing what they do not know, copies of listeners, cancelled threads.
 *
 * `fd_reuse NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list` prints
 * the names. The clients are 127.0.0.2, which the environment must trust, with PPSHIM_TIMEOUT long enough that nobody
 * runs out of it, unless a case says otherwise.
 */
#include "testing.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- descriptors --- */

/* Calls `each` with the descriptors of this process, and what /proc says they are. */
static void descriptors(void (*each)(int fd, const char *what, void *argument), void *argument)
{
    int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct {
        uint64_t inode, offset;
        unsigned short length;
        char type, text[240];
    } entry;
    char room[4096], what[64];
    MUST(list >= 0);
    for (long n; (n = syscall(SYS_getdents64, list, room, sizeof room)) > 0;) {
        for (long at = 0; at < n; at += entry.length) {
            memset(&entry, 0, sizeof entry);
            memcpy(&entry, room + at, 19);
            const char *text = room + at + 19;
            ssize_t length = readlinkat(list, text, what, sizeof what - 1);
            if (text[0] == '.' || length < 0 || atoi(text) == list)
                continue;
            what[length] = 0;
            each(atoi(text), what, argument);
        }
    }
    MUST(syscall(SYS_close, list) == 0);
}

static void count_one(int fd, const char *what, void *count)
{
    (void)fd, (void)what;
    ++*(int *)count;
}

static int open_fds(void)
{
    int count = 0;
    descriptors(count_one, &count);
    return count;
}

struct numbers {
    int fd[64], count;
    const char *kind;
};

static void add_high(int fd, const char *what, void *numbers)
{
    struct numbers *n = numbers;
    if (fd >= BAND && (!n->kind || strstr(what, n->kind)) && n->count < 64)
        n->fd[n->count++] = fd;
}

static struct numbers high_numbers(const char *kind)
{
    struct numbers n = {.kind = kind};
    descriptors(add_high, &n);
    return n;
}

/* --- waits --- */

enum way { POLL, SELECT, EPOLL, ACCEPT, WAYS };
static const char *const way_names[] = {"poll", "select", "epoll_wait", "accept"};

struct watch {
    enum way way;
    int listener, epoll;
};

static struct watch watching(enum way way, int l)
{
    struct watch w = {way, l, way == EPOLL ? epoll_create1(EPOLL_CLOEXEC) : -1};
    step = way_names[way];
    if (w.epoll >= 0)
        control(w.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    return w;
}

static int told(int epoll, int ms)
{
    struct epoll_event e[4];
    int n = epoll_wait(epoll, e, 4, ms);
    for (int i = 0; i < n; i++)
        MUST((e[i].events & EPOLLIN) && e[i].data.u64 == TOKEN);
    return n;
}

static int selected(int fd, int ms)
{
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &t);
}

static int polled(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, ms);
    MUST(n <= 0 || (p.revents & POLLIN));
    return n;
}

static int wait_for(const struct watch *w, int ms)
{
    return w->way == EPOLL    ? told(w->epoll, ms)
           : w->way == SELECT ? selected(w->listener, ms)
                              : polled(w->listener, ms);
}

/* Silent, live, late: all as it should be, on a warm listener. */
static void is_exact(const struct watch *w)
{
    struct client silent = dial(w->listener);
    arrived(w->listener);
    IS(0, wait_for(w, 0));
    struct client c = introduced(w->listener);
    IS(1, wait_for(w, LONG));
    accepts(w->listener, &c);
    IS(0, wait_for(w, 0));
    introduce(&silent);
    IS(1, wait_for(w, LONG));
    accepts(w->listener, &silent);
    IS(0, wait_for(w, 0));
}

/* --- threads --- */

static int stat_of(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0);
    return fd;
}

static void block_usr1(bool block)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    IS(0, pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL));
}

/* Something done by another thread when this one sleeps. */
struct helper {
    pthread_t thread, sleeper;
    int stat, listener;
    struct client *client;
    atomic_bool stop;
};

static void start(struct helper *h, void *(*act)(void *), int l, struct client *c)
{
    h->stat = stat_of(gettid());
    h->sleeper = pthread_self();
    h->listener = l;
    h->client = c;
    h->stop = false;
    block_usr1(true); /* the helper never handles it */
    IS(0, pthread_create(&h->thread, NULL, act, h));
    block_usr1(false);
}

static void done(struct helper *h)
{
    h->stop = true;
    MUST(pthread_join(h->thread, NULL) == 0 && syscall(SYS_close, h->stat) == 0);
}

static void *introduce_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    speak(h->client);
    return NULL;
}

static void *signal_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    return NULL;
}

static void handle_usr1(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags},
                     hung = {.sa_handler = on_alarm, .sa_flags = flags};
    IS(0, sigaction(SIGUSR1, &action, NULL));
    IS(0, sigaction(SIGALRM, &hung, NULL)); /* let it not be the odd one out */
}

static void ended_well(pid_t child)
{
    int status = 0;
    IS(child, waitpid(child, &status, 0));
    if (status != 0)
        fail(__LINE__, "child's status is %#x", (unsigned)status);
}

/* --- cases: fork in a signal handler --- */

static struct { /* what the handler needs and learns */
    int fds, listener;
    _Atomic pid_t child;
    bool in_child, child_returns;
    int status;
} handler;

/* As PostgreSQL 15's postmaster: fork, and wait for nothing else, inside the handler. */
static void fork_in_handler(int number)
{
    (void)number;
    pid_t child = fork();
    if (child == 0) {
        handler.in_child = true;
        if (handler.child_returns)
            return;
        _exit(open_fds() == handler.fds ? 0 : 1);
    }
    handler.child = child;
    waitpid(child, &handler.status, 0);
}

static void fork_that_interrupts(enum way way)
{
    int l = listener(0);
    warm(l);
    struct watch w = watching(way, l);
    struct client silent = dial(l);
    struct helper h;
    handler.fds = open_fds() + 1; /* the helper's */
    arrived(l);
    while (in_kernel_queue(l))
        IS(0, polled(l, 0));
    until_parked(l, &silent);
    MUST(open_fds() > handler.fds);
    handler.child_returns = false;
    handler.status = -1;
    handle_usr1(fork_in_handler, SA_RESTART);
    start(&h, signal_while_asleep, l, NULL);
    if (way != ACCEPT) {
        FAILS_WITH(EINTR, wait_for(&w, LONG));
        done(&h);
        start(&h, introduce_while_asleep, l, &silent);
        IS(1, wait_for(&w, LONG));
        accepts(l, &silent);
    } else {
        struct helper later;
        struct client live = dial(l);
        handler.fds += 2; /* and the later one's, and this client's */
        start(&later, introduce_while_asleep, l, &live);
        int fd = accept(l, NULL, NULL);
        done(&later);
        MUST(works(fd, &live));
        introduce(&silent);
        accepts(l, &silent);
        MUST(close(fd) == 0 && close(live.fd) == 0);
    }
    done(&h);
    IS(0, handler.status);
    is_exact(&(struct watch){POLL, l, -1});
}

static void child_forked_in_a_handler_that_interrupted_poll_has_no_waiting_peers(void)
{
    fork_that_interrupts(POLL);
}

static void child_forked_in_a_handler_that_interrupted_select_has_no_waiting_peers(void)
{
    fork_that_interrupts(SELECT);
}

static void child_forked_in_a_handler_that_interrupted_epoll_wait_has_no_waiting_peers(void)
{
    fork_that_interrupts(EPOLL);
}

static void *signal_then_introduce(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    while (handler.status < 0)
        usleep(200);
    until_asleep(h->stat);
    speak(h->client);
    return NULL;
}

static void child_forked_in_a_handler_that_interrupted_accept_has_no_waiting_peers(void)
{
    int l = listener(0);
    struct helper h;
    warm(l);
    struct client silent = dial(l);
    handler.fds = open_fds() + 1; /* the helper's */
    arrived(l);
    while (in_kernel_queue(l))
        IS(0, polled(l, 0));
    handler.child_returns = false;
    handler.status = -1;
    handle_usr1(fork_in_handler, SA_RESTART);
    start(&h, signal_then_introduce, l, &silent);
    accepts(l, &silent);
    done(&h);
    IS(0, handler.status);
}

/* The parent's peers are not the child's: its wait says nothing of them, and it serves clients of its own. */
static void be_the_child_that_returned(const struct watch *w, int n, int error)
{
    struct watch poll_only = {POLL, w->listener, -1};
    MUST(n == -1 && error == EINTR);
    IS(0, wait_for(w, MOMENT));
    struct client c = introduced(w->listener);
    IS(1, wait_for(w, LONG));
    accepts(w->listener, &c);
    is_exact(w);
    is_exact(&poll_only);
    _exit(0);
}

static void child_that_returns_into_the_wait(enum way way)
{
    int l = listener(0);
    warm(l);
    struct watch w = watching(way, l);
    struct client silent = parked(l);
    struct helper h;
    handler.child_returns = true;
    handle_usr1(fork_in_handler, SA_RESTART);
    start(&h, signal_while_asleep, l, NULL);
    int n = wait_for(&w, LONG), error = errno;
    if (handler.in_child)
        be_the_child_that_returned(&w, n, error);
    MUST(n == -1 && error == EINTR);
    done(&h);
    IS(0, handler.status);
    IS(0, wait_for(&w, MOMENT));
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
    is_exact(&w);
}

static void child_that_returns_from_a_handler_into_poll_works(void)
{
    child_that_returns_into_the_wait(POLL);
}

static void child_that_returns_from_a_handler_into_select_works(void)
{
    child_that_returns_into_the_wait(SELECT);
}

static void child_that_returns_from_a_handler_into_epoll_wait_works(void)
{
    child_that_returns_into_the_wait(EPOLL);
}

/* The parent sits in its handler until the child has ended; then it goes on in its accept. */
static void *serve_child_then_parent(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    while (handler.child == 0)
        usleep(200);
    int stat = stat_of(handler.child);
    until_asleep(stat);
    struct client live = introduced(h->listener);
    while (handler.status < 0)
        usleep(200);
    until_asleep(h->stat);
    speak(h->client);
    MUST(close(stat) == 0 && close(live.fd) == 0);
    return NULL;
}

static void child_that_returns_from_a_handler_into_accept_works(void)
{
    int l = listener(0);
    struct helper h;
    warm(l);
    struct client silent = parked(l);
    handler.child_returns = true;
    handler.status = -1;
    handle_usr1(fork_in_handler, SA_RESTART);
    start(&h, serve_child_then_parent, l, &silent);
    int fd = accept(l, NULL, NULL);
    if (handler.in_child)
        _exit(fd >= 0 && number_of(fd) > silent.number ? 0 : 1);
    IS(0, handler.status);
    MUST(works(fd, &silent));
    done(&h);
}

/* --- signals that fork whatever the library is doing --- */

static atomic_int forks_done, forks_failed;

static void fork_and_use(int number)
{
    (void)number;
    int saved = errno, status;
    pid_t child = fork();
    if (child == 0) {
        struct pollfd p = {.fd = handler.listener, .events = POLLIN};
        signal(SIGALRM, SIG_DFL);
        alarm(HANGS_AFTER / 4); /* a deadlock ends by it */
        poll(&p, 1, 0);
        int fd = accept(handler.listener, NULL, NULL);
        poll(&p, 1, 0);
        close(handler.listener);
        _exit(fd >= 0 || errno == EAGAIN || errno == EBADF ? 0 : 1);
    }
    forks_failed += waitpid(child, &status, 0) != child || status != 0;
    forks_done++;
    errno = saved;
}

/* Leaves no port in TIME_WAIT: there are many of them. */
static void leave_at_once(const struct client *c)
{
    static const struct linger at_once = {.l_onoff = 1};
    IS(0, setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    MUST(close(c->fd) == 0);
}

static void *come_and_go(void *helper)
{
    struct helper *h = helper;
    while (!h->stop) {
        struct client a = dial(h->listener), b = dial(h->listener), c = dial(h->listener);
        IS(1, write(a.fd, "P", 1));
        speak(&b); /* which a child may take along */
        leave_at_once(&a);
        leave_at_once(&b);
        leave_at_once(&c);
    }
    return NULL;
}

static atomic_uint turns; /* of the loop that the signals interrupt */

/* The next signal comes when the last was handled and the interrupted loop has gone on: where a fork takes longer than
   the time between two signals it would not, for ever. Then at one moment of its turn or another. */
static void *signal_once_a_turn(void *helper)
{
    struct helper *h = helper;
    for (int sent = 0; !h->stop; sent++) {
        unsigned turn = turns;
        IS(0, pthread_kill(h->sleeper, SIGUSR1));
        while (!h->stop && (forks_done == sent || turns - turn < 2))
            usleep(20);
        usleep((unsigned)sent * 37 % 997);
    }
    return NULL;
}

static void *signal_often(void *helper)
{
    struct helper *h = helper;
    while (!h->stop) {
        IS(0, pthread_kill(h->sleeper, SIGUSR1));
        usleep(700);
    }
    return NULL;
}

static void fork_in_a_handler_whatever_it_interrupted_neither_hangs_nor_harms(void)
{
    enum { FORKS = 150 };
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct helper clients, signals;
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    handler.listener = l;
    handle_usr1(fork_and_use, SA_RESTART);
    start(&clients, come_and_go, l, NULL);
    start(&signals, signal_once_a_turn, l, NULL);
    for (; forks_done < FORKS; turns++) {
        struct watch w = {turns % 3, l, epoll};
        int fd;
        wait_for(&w, 5);
        while ((fd = accept(l, NULL, NULL)) >= 0)
            MUST(close(fd) == 0);
    }
    done(&signals);
    done(&clients);
    IS(0, forks_failed);
    int fd;
    while (polled(l, 0) == 1)
        if ((fd = accept(l, NULL, NULL)) >= 0)
            MUST(close(fd) == 0);
    is_exact(&(struct watch){EPOLL, l, epoll});
}

/* --- cases: other kinds of children --- */

extern char **environ;

/* `fd_reuse --sockets` ends with the number of sockets and of the kernel's anonymous files it was given. */
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

static char *const count_command[] = {(char[]){"fd_reuse"}, (char[]){"--sockets"}, NULL};

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
    for (int kind = 0; kind < 4; kind++) {
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

/* --- cases: the process changes --- */

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

/* --- cases: numbers that are closed and used again --- */

static void closed_listener_takes_its_waiting_and_held_peers_along(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        int l = listener(0), before;
        warm(l);
        struct watch w = watching(way, l);
        before = open_fds();
        struct client silent = parked(l), other = parked(l), held = introduced(l);
        IS(1, wait_for(&w, LONG));
        MUST(close(l) == 0);
        is_closed(&silent);
        is_closed(&other);
        is_closed(&held);
        IS(before - 1, open_fds());
        if (way == EPOLL)
            IS(0, wait_for(&w, MOMENT));
    }
}

static void number_of_a_closed_listener_is_anybodys(void)
{
    int l = listener(0), epoll = epoll_create1(EPOLL_CLOEXEC), pair[2];
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
    parked(l);
    MUST(close(l) == 0);
    step = "used by a client";
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    if (pair[0] != l) {
        IS(l, dup2(pair[0], l));
        MUST(close(pair[0]) == 0);
    }
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    for (int round = 0; round < 3; round++) {
        char byte;
        IS(0, told(epoll, 0));
        IS(0, polled(l, 0));
        MUST(write(pair[1], "x", 1) == 1);
        IS(1, told(epoll, LONG));
        IS(1, polled(l, LONG));
        IS(1, selected(l, LONG));
        MUST(read(l, &byte, 1) == 1);
    }
    MUST(close(l) == 0);
    step = "used by another listener";
    IS(l, listener(0));
    struct watch w = {EPOLL, l, epoll};
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    warm(l);
    is_exact(&w);
    is_exact(&(struct watch){POLL, l, -1});
}

/* By a raw system call, or by libc itself (fclose). */
static void number_of_a_listener_whose_close_was_not_seen_is_the_next_ones(void)
{
    int l = listener(0), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct watch w = {EPOLL, l, epoll};
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    parked(l);
    MUST(syscall(SYS_close, l) == 0);
    IS(l, listener(0));
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    warm(l);
    is_exact(&(struct watch){SELECT, l, -1});
    is_exact(&w);
}

/* More of them than there is room for at once: as Node.js, whose libuv closes by raw system calls. */
static void listeners_whose_close_was_not_seen_make_room_for_others(void)
{
    int l = listener(0);
    for (int i = 0; i < 4200; i++) {
        int gone = listener(0);
        struct client c = dial(l);
        speak(&c);
        MUST(syscall(SYS_close, gone) == 0);
        IS(gone, accept(l, NULL, NULL));
        MUST(syscall(SYS_close, gone) == 0 && close(c.fd) == 0);
    }
}

static void peers_of_a_listener_whose_close_was_not_seen_go_when_its_number_is_a_clients(void)
{
    int gone = listener(0), l = listener(0);
    warm(gone);
    struct client silent = parked(gone), c = introduced(l);
    MUST(syscall(SYS_close, gone) == 0);
    IS(gone, accept(l, NULL, NULL));
    is_closed(&silent);
    MUST(works(gone, &c));
}

static void socket_with_the_number_of_a_listener_whose_close_was_not_seen_says_what_it_says(void)
{
    int l = listener(0), ends[2];
    warm(l);
    struct client held = introduced(l);
    IS(1, polled(l, LONG));
    MUST(syscall(SYS_close, l) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    IS(l, ends[0]);
    struct watch w = watching(EPOLL, ends[0]);
    IS(0, wait_for(&w, MOMENT));
    IS(1, write(ends[1], "x", 1));
    IS(1, wait_for(&w, LONG));
    MUST(close(held.fd) == 0);
}

static void number_of_a_closed_epoll_is_anybodys(void)
{
    for (int raw = 0; raw < 2; raw++) {
        int l = listener(0), epoll = epoll_create1(EPOLL_CLOEXEC);
        step = raw ? "closed by a raw system call" : "closed";
        warm(l);
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
        struct client silent = parked(l);
        MUST((raw ? syscall(SYS_close, epoll) : close(epoll)) == 0);
        IS(epoll, eventfd(0, EFD_CLOEXEC));
        IS(0, polled(epoll, 0));
        IS(0, eventfd_write(epoll, 1));
        IS(1, polled(epoll, LONG));
        IS(1, selected(epoll, LONG));
        MUST(close(epoll) == 0);
        IS(epoll, epoll_create1(EPOLL_CLOEXEC));
        introduce(&silent); /* nothing of ours stands in the new one */
        IS(0, told(epoll, MOMENT));
        struct client c = introduced(l);
        IS(0, told(epoll, MOMENT));
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
        IS(1, told(epoll, LONG));
        int one = accept(l, NULL, NULL);
        IS(1, told(epoll, LONG));
        int other = accept(l, NULL, NULL);
        MUST((works(one, &c) && works(other, &silent)) || (works(one, &silent) && works(other, &c)));
        is_exact(&(struct watch){EPOLL, l, epoll});
        MUST(close(l) == 0 && close(epoll) == 0);
    }
}

/* A server that closes what it does not know. */
static void close_all(int how, unsigned first)
{
    switch (how) {
    case 0:
        closefrom((int)first);
        break;
    case 1:
        IS(0, close_range(first, ~0U, 0));
        break;
    case 2:
        for (unsigned fd = first; fd < 20000; fd++)
            close((int)fd);
        break;
    case 3:
        IS(0, syscall(SYS_close_range, first, ~0U, 0));
        break;
    case 4:
        for (unsigned fd = first; fd < 20000; fd++)
            syscall(SYS_close, fd);
    }
}

static const char *const ways_to_close[] = {"closefrom", "close_range", "close loop", "raw close_range",
                                            "raw close loop"};
enum { RAW = 3, WAYS_TO_CLOSE = 5 };

/* The same numbers, in use by somebody else. */
static int occupy(const struct numbers *n, int with)
{
    for (int i = 0; i < n->count; i++)
        IS(n->fd[i], syscall(SYS_dup3, with, n->fd[i], O_CLOEXEC));
    return with;
}

static void still_occupied(const struct numbers *n, int with)
{
    struct stat a, b;
    IS(0, fstat(with, &a));
    for (int i = 0; i < n->count; i++)
        MUST(fstat(n->fd[i], &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev);
}

static void release(const struct numbers *n)
{
    for (int i = 0; i < n->count; i++)
        MUST(close(n->fd[i]) == 0);
}

static void closing_all_else(int how, bool occupied)
{
    int l = listener(0), ends[2];
    warm(l);
    struct watch w = watching(EPOLL, l);
    step = ways_to_close[how];
    MUST(pipe2(ends, O_CLOEXEC) == 0 && ends[1] < BAND);
    struct client silent[3] = {parked(l), parked(l), parked(l)};
    struct numbers ours = high_numbers(NULL);
    MUST(ours.count >= 4); /* three peers and their epoll, at least */
    close_all(how, BAND);
    if (occupied)
        occupy(&ours, ends[0]);
    for (int i = 0; i < 3; i++)
        is_closed(&silent[i]); /* the server wanted it so */
    is_exact(&w);
    is_exact(&(struct watch){POLL, l, -1});
    is_exact(&(struct watch){SELECT, l, -1});
    struct client c = dial(l);
    struct helper h;
    start(&h, introduce_while_asleep, l, &c);
    accepts(l, &c);
    done(&h);
    if (occupied) {
        still_occupied(&ours, ends[0]);
        release(&ours);
    }
    MUST(close(l) == 0 && close(w.epoll) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    IS(0, high_numbers(NULL).count);
}

static void listener_works_on_after_all_unknown_numbers_were_closed(void)
{
    for (int how = 0; how < RAW; how++)
        closing_all_else(how, false);
}

static void listener_works_on_after_all_unknown_numbers_were_closed_by_raw_system_calls(void)
{
    for (int how = RAW; how < WAYS_TO_CLOSE; how++)
        closing_all_else(how, false);
}

static void numbers_that_somebody_else_uses_now_are_not_closed(void)
{
    for (int how = 0; how < WAYS_TO_CLOSE; how++)
        closing_all_else(how, true);
}

/* With its listener and all, as between fork and a new life. */
static void new_listener_works_after_everything_was_closed(void)
{
    for (int how = 0; how < WAYS_TO_CLOSE; how++) {
        int l = listener(0), ends[2];
        warm(l);
        struct watch w = watching(EPOLL, l);
        step = ways_to_close[how];
        parked(l);
        parked(l);
        introduced(l);
        IS(1, wait_for(&w, LONG));
        struct numbers ours = high_numbers(NULL);
        close_all(how, 3);
        IS(3, open_fds());
        IS(3, syscall(SYS_dup, 0));
        MUST(pipe2(ends, O_CLOEXEC) == 0);
        occupy(&ours, ends[0]);
        IS(0, syscall(SYS_close, 3));
        IS(3, l = listener(0)); /* the number of the old one */
        warm(l);
        w = (struct watch){EPOLL, l, epoll_create1(EPOLL_CLOEXEC)};
        control(w.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
        is_exact(&w);
        is_exact(&(struct watch){POLL, l, -1});
        still_occupied(&ours, ends[0]);
        MUST(close(l) == 0);
        still_occupied(&ours, ends[0]);
        close_all(3, 3);
    }
}

static void raw_close(const struct numbers *n)
{
    for (int i = 0; i < n->count; i++)
        IS(0, syscall(SYS_close, n->fd[i]));
}

/* Its peers are still there: they wait in the next one. */
static void private_epoll_closed_by_a_raw_system_call_is_made_anew(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        for (int occupied = 0; occupied < 2; occupied++) {
            int l = listener(0), ends[2];
            struct helper h;
            warm(l);
            struct watch w = watching(way, l);
            MUST(pipe2(ends, O_CLOEXEC) == 0);
            struct client silent = parked(l), other = parked(l);
            struct numbers epoll = high_numbers("eventpoll");
            MUST(epoll.count >= 1);
            raw_close(&epoll);
            if (occupied)
                occupy(&epoll, ends[0]);
            if (way != ACCEPT) {
                struct client c = introduced(l);
                IS(1, wait_for(&w, LONG)); /* which is when the library sees what happened */
                accepts(l, &c);
                introduce(&silent);
                IS(1, wait_for(&w, LONG));
                accepts(l, &silent);
                introduce(&other);
                IS(1, wait_for(&w, LONG));
                accepts(l, &other);
                is_exact(&w);
            } else {
                start(&h, introduce_while_asleep, l, &silent);
                accepts(l, &silent);
                done(&h);
                start(&h, introduce_while_asleep, l, &other);
                accepts(l, &other);
                done(&h);
            }
            if (occupied) {
                still_occupied(&epoll, ends[0]);
                release(&epoll);
            }
            MUST(close(l) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
            close_all(3, BAND); /* the lost one's timer and eventfds: nobody can tell whose they are */
        }
    }
}

/* --- cases: a handler that closes the listener --- */

static void close_in_handler(int number)
{
    (void)number;
    close(handler.listener);
}

static void handler_that_closes_the_listener_ends_accept(void)
{
    for (int restart = 0; restart < 2; restart++) {
        for (int silent = 0; silent < 2; silent++) {
            int l = listener(0);
            struct client c = {-1, 0};
            struct helper h;
            step = silent ? "a peer waits" : "nobody waits";
            warm(l);
            if (silent)
                c = parked(l);
            handler.listener = l;
            handle_usr1(close_in_handler, SA_RESTART * restart);
            start(&h, signal_while_asleep, l, NULL);
            FAILS_WITH(restart ? EBADF : EINTR, accept(l, NULL, NULL));
            done(&h);
            FAILS_WITH(EBADF, accept(l, NULL, NULL));
            if (silent)
                is_closed(&c);
        }
    }
}

static void handler_that_closes_the_listener_ends_the_wait(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        int l = listener(0);
        struct helper h;
        warm(l);
        struct watch w = watching(way, l);
        struct client c = parked(l);
        struct pollfd p = {.fd = l, .events = POLLIN};
        handler.listener = l;
        handle_usr1(close_in_handler, SA_RESTART);
        start(&h, signal_while_asleep, l, NULL);
        FAILS_WITH(EINTR, wait_for(&w, LONG));
        done(&h);
        is_closed(&c);
        if (way == EPOLL)
            IS(0, wait_for(&w, MOMENT));
        else if (way == SELECT)
            FAILS_WITH(EBADF, wait_for(&w, MOMENT));
        IS(1, poll(&p, 1, MOMENT));
        IS(POLLNVAL, p.revents);
    }
}

/* --- cases: a handler that closes the epoll --- */

static struct { /* what the handler closes, and puts in its place */
    int epoll;
    bool other_file, other_epoll;
    atomic_int replaced;
} closer;

static void close_epoll_in_handler(int number)
{
    (void)number;
    int saved = errno;
    close(closer.epoll);
    if (closer.other_file)
        dup2(STDIN_FILENO, closer.epoll);
    else if (closer.other_epoll)
        closer.epoll = epoll_create1(EPOLL_CLOEXEC);
    errno = saved;
}

static void handler_that_closes_the_epoll_ends_the_wait(void)
{
    for (int kind = 0; kind < 3; kind++) {
        int l = listener(SOCK_NONBLOCK);
        struct helper h;
        step = (const char *const[]){"nothing there", "a file there", "another epoll there"}[kind];
        warm(l);
        struct watch w = {EPOLL, l, epoll_create1(EPOLL_CLOEXEC)};
        control(w.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
        struct client silent = parked(l);
        closer.epoll = w.epoll, closer.other_file = kind == 1, closer.other_epoll = kind == 2;
        handle_usr1(close_epoll_in_handler, SA_RESTART);
        start(&h, signal_while_asleep, l, NULL);
        FAILS_WITH(EINTR, wait_for(&w, LONG));
        done(&h);
        if (kind < 2)
            FAILS_WITH(kind ? EINVAL : EBADF, wait_for(&w, MOMENT));
        IS(w.epoll, closer.epoll);
        introduce(&silent);
        if (kind == 2)
            IS(0, wait_for(&w, MOMENT)); /* nobody put the listener into this one */
        IS(1, polled(l, LONG));
        accepts(l, &silent);
        struct watch anew = watching(EPOLL, l);
        is_exact(&anew);
        MUST(close(anew.epoll) == 0 && close(l) == 0 && (kind == 0 || close(w.epoll) == 0));
    }
}

static void replace_epoll_in_handler(int number)
{
    (void)number;
    int saved = errno;
    close(closer.epoll);
    closer.epoll = epoll_create1(EPOLL_CLOEXEC);
    control(closer.epoll, EPOLL_CTL_ADD, handler.listener, EPOLLIN, TOKEN);
    closer.replaced++;
    errno = saved;
}

/* Silent, live and late clients, while a handler puts a new epoll in place of the one that is waited for. */
static void handler_that_replaces_the_epoll_at_any_moment_loses_nobody(void)
{
    enum { TIMES = 400 };
    int l = listener(SOCK_NONBLOCK);
    struct helper signals;
    warm(l);
    handler.listener = l;
    closer.epoll = epoll_create1(EPOLL_CLOEXEC);
    control(closer.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    int numbers = open_fds() + 1; /* the helper's */
    handle_usr1(replace_epoll_in_handler, SA_RESTART);
    start(&signals, signal_often, l, NULL);
    while (closer.replaced < TIMES) {
        block_usr1(true); /* the server is what is interrupted, not the clients */
        struct client c[2] = {dial(l), introduced(l)};
        block_usr1(false);
        for (int next = 1; next >= 0; next--) {
            int fd;
            while ((fd = accept(l, NULL, NULL)) < 0) {
                MUST(errno == EAGAIN);
                told(closer.epoll, 20);
            }
            MUST(works(fd, &c[next]));
            MUST(close(fd) == 0 && close(c[next].fd) == 0);
            if (next)
                speak(&c[0]);
        }
    }
    done(&signals);
    struct watch w = {EPOLL, l, closer.epoll};
    is_exact(&w);
    MUST(open_fds() - high_numbers("").count <= numbers);
}

/* --- cases: copies of a listener --- */

static int by_message(int l)
{
    int pair[2], received;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } box = {.header = {.cmsg_len = CMSG_LEN(sizeof l), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    char byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &box, .msg_controllen = sizeof box};
    memcpy(CMSG_DATA(&box.header), &l, sizeof l);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1);
    memcpy(&received, CMSG_DATA(&box.header), sizeof received);
    MUST(close(pair[0]) == 0 && close(pair[1]) == 0);
    return received;
}

enum copying { DUP, DUP2, DUP3, F_DUP, F_DUP_CLOEXEC, MESSAGE, COPYINGS };
static const char *const copying_names[] = {"dup", "dup2", "dup3", "F_DUPFD", "F_DUPFD_CLOEXEC", "SCM_RIGHTS"};

static int copy_of(int l, enum copying how)
{
    step = copying_names[how];
    return how == DUP             ? dup(l)
           : how == DUP2          ? dup2(l, 200)
           : how == DUP3          ? dup3(l, 201, O_CLOEXEC)
           : how == F_DUP         ? fcntl(l, F_DUPFD, 100)
           : how == F_DUP_CLOEXEC ? fcntl(l, F_DUPFD_CLOEXEC, 100)
                                  : by_message(l);
}

/* With the original open, and without. */
static void copy_of_a_listener_is_governed(void)
{
    for (enum copying how = DUP; how < COPYINGS; how++) {
        int l = listener(0), copy = copy_of(l, how);
        MUST(copy >= 0);
        struct client c = introduced(l);
        accepts(copy, &c);
        is_exact(&(struct watch){POLL, copy, -1});
        is_exact(&(struct watch){SELECT, copy, -1});
        struct watch w = watching(EPOLL, copy);
        is_exact(&w);
        step = copying_names[how];
        struct client silent = parked(l);
        MUST(close(l) == 0); /* what waits belongs to both */
        introduce(&silent);
        IS(1, wait_for(&w, LONG));
        accepts(copy, &silent);
        is_exact(&w);
        silent = parked(copy);
        MUST(close(copy) == 0);
        is_closed(&silent);
        MUST(close(w.epoll) == 0);
    }
}

/* The first thing a server does with it is to wait. Then to accept, and that must not hang. */
static void copy_of_a_listener_never_hangs_the_first_accept(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        for (enum copying how = DUP; how < COPYINGS; how++) {
            int l = listener(0), copy = copy_of(l, how);
            MUST(copy >= 0);
            warm(l);
            struct watch w = {way, copy, way == EPOLL ? epoll_create1(EPOLL_CLOEXEC) : -1};
            if (way == EPOLL)
                control(w.epoll, EPOLL_CTL_ADD, copy, EPOLLIN, TOKEN);
            struct client silent = dial(l);
            arrived(l);
            if (wait_for(&w, 0) == 1)
                FAILS_WITH(ECONNABORTED, accept(copy, NULL, NULL));
            is_exact(&w);
            introduce(&silent);
            IS(1, wait_for(&w, LONG));
            accepts(copy, &silent);
            MUST(close(l) == 0 && close(copy) == 0 && (way != EPOLL || close(w.epoll) == 0));
        }
    }
}

/* epoll knows the open file, not the number: it goes on telling while a copy is there. */
static void registration_of_a_closed_number_lives_while_a_copy_does(void)
{
    int l = listener(SOCK_NONBLOCK), copy = dup(l);
    warm(l);
    warm(copy);
    struct watch w = watching(EPOLL, l);
    MUST(close(l) == 0);
    for (int round = 0; round < 3; round++) {
        struct client c = introduced(copy);
        IS(1, told(w.epoll, LONG));
        accepts(copy, &c);
    }
}

/* It waits before it accepts: then it is told what the kernel says, and the accept must know of it. */
static int started_with_a_listener(int l)
{
    struct watch w = watching(POLL, l);
    struct client silent = dial(l);
    IS(1, wait_for(&w, LONG));
    FAILS_WITH(ECONNABORTED, accept(l, NULL, NULL));
    IS(0, wait_for(&w, 0));
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
    is_exact(&w);
    w = watching(EPOLL, l);
    is_exact(&w);
    return 0;
}

/* The same with an epoll that it was given too. */
static int started_with_an_epoll(int l, int epoll)
{
    struct watch w = {EPOLL, l, epoll};
    struct client silent = dial(l);
    IS(1, wait_for(&w, LONG));
    FAILS_WITH(ECONNABORTED, accept(l, NULL, NULL));
    IS(0, wait_for(&w, MOMENT));
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
    is_exact(&w);
    return 0;
}

static void epoll_kept_over_exec_with_its_listener_is_watched(void)
{
    int l = listener(0), epoll = epoll_create1(0);
    char numbers[2][16];
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    snprintf(numbers[0], sizeof numbers[0], "%d", l);
    snprintf(numbers[1], sizeof numbers[1], "%d", epoll);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "fd_reuse", "--epoll", numbers[0], numbers[1], (char *)NULL);
        _exit(100);
    }
    ended_well(child);
}

static void listener_kept_over_exec_is_governed(void)
{
    int l = listener(0);
    char number[16];
    warm(l);
    struct client silent = parked(l);
    snprintf(number, sizeof number, "%d", l);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "fd_reuse", "--listener", number, (char *)NULL);
        _exit(100);
    }
    ended_well(child);
    introduce(&silent);
    accepts(l, &silent);
    is_exact(&(struct watch){POLL, l, -1});
}

static void dup2_onto_a_listener_closes_it(void)
{
    for (int kind = 0; kind < 4; kind++) {
        int l = listener(SOCK_NONBLOCK), other = listener(SOCK_NONBLOCK),
            null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        step = (const char *const[]){"dup2, a file", "dup3, a file", "dup2, a listener", "dup3, a listener"}[kind];
        warm(l);
        warm(other);
        struct watch w = watching(EPOLL, l);
        struct client silent = parked(l), held = introduced(l), others = parked(other);
        IS(1, wait_for(&w, LONG));
        int from = kind < 2 ? null : other;
        IS(l, kind & 1 ? dup3(from, l, O_CLOEXEC) : dup2(from, l));
        is_closed(&silent);
        is_closed(&held);
        IS(0, told(w.epoll, MOMENT));
        if (kind < 2) {
            FAILS_WITH(ENOTSOCK, accept(l, NULL, NULL));
        } else {
            introduce(&others);
            accepts(l, &others);
            is_exact(&(struct watch){POLL, l, -1});
            MUST(close(other) == 0);
            is_exact(&(struct watch){POLL, l, -1});
        }
        MUST(close(l) == 0);
    }
}

static void nothing(int number)
{
    (void)number;
}

static void *dup2_and_signal(void *helper)
{
    struct helper *h = helper;
    int pair[2];
    until_asleep(h->stat);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && shutdown(pair[0], SHUT_RDWR) == 0);
    IS(h->listener, dup2(pair[0], h->listener));
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    return NULL;
}

/* How the JDK closes a listener that a thread blocks on. */
static void dup2_and_a_signal_end_accept_while_a_peer_waits(void)
{
    int l = listener(0);
    struct helper h;
    warm(l);
    struct client silent = parked(l);
    handle_usr1(nothing, 0);
    start(&h, dup2_and_signal, l, NULL);
    IS(-1, accept(l, NULL, NULL));
    MUST(errno == EINTR || errno == EINVAL);
    done(&h);
    is_closed(&silent);
    FAILS_WITH(EINVAL, accept(l, NULL, NULL));
}

/* --- cases: several threads in accept --- */

enum { THREADS = 3 };

struct accepter {
    pthread_t thread;
    _Atomic pid_t tid;
    int listener, fd, error, stat;
    bool joined;
    long took; /* ms */
};

static void *accept_one(void *accepter)
{
    struct accepter *a = accepter;
    int64_t before = microseconds();
    a->tid = gettid();
    a->fd = accept(a->listener, NULL, NULL);
    a->error = errno;
    a->took = (long)(microseconds() - before) / 1000;
    return NULL;
}

/* One after the other: the order in which they came is the order in the array. */
static void block_in_accept(struct accepter a[THREADS], int l)
{
    for (int i = 0; i < THREADS; i++) {
        a[i] = (struct accepter){.listener = l};
        IS(0, pthread_create(&a[i].thread, NULL, accept_one, &a[i]));
        while (!a[i].tid)
            usleep(200);
        a[i].stat = stat_of(a[i].tid);
        until_asleep(a[i].stat);
    }
}

static void all_asleep(const struct accepter a[THREADS])
{
    for (int i = 0; i < THREADS; i++)
        if (!a[i].joined)
            until_asleep(a[i].stat);
}

static void join_one(struct accepter *a)
{
    IS(0, pthread_join(a->thread, NULL));
    MUST(close(a->stat) == 0);
    a->joined = true;
}

/* Peers that wait when the threads come, or come when the threads wait. */
static struct client one_silent(struct accepter a[THREADS], int l, bool before)
{
    struct client silent;
    step = before ? "the peer was there first" : "the threads were there first";
    warm(l);
    if (before)
        silent = parked(l);
    block_in_accept(a, l);
    if (!before) {
        silent = dial(l);
        while (in_kernel_queue(l))
            usleep(200);
    }
    all_asleep(a);
    return silent;
}

static void all_end_with(struct accepter a[THREADS], int error)
{
    for (int i = 0; i < THREADS; i++) {
        join_one(&a[i]);
        if (a[i].fd != -1 || a[i].error != error)
            fail(__LINE__, "thread %d: accept is %d, errno %d and not %d", i, a[i].fd, a[i].error, error);
    }
}

static void shutdown_ends_accept_in_every_thread(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        int l = listener(0);
        struct client silent = one_silent(a, l, before);
        IS(0, shutdown(l, SHUT_RDWR));
        all_end_with(a, EINVAL);
        MUST(close(l) == 0);
        is_closed(&silent);
    }
}

static void dup2_ends_accept_in_every_thread_while_a_peer_waits(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        int l = listener(0), pair[2];
        struct client silent = one_silent(a, l, before);
        MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        IS(l, dup2(pair[0], l));
        all_end_with(a, EINVAL);
        is_closed(&silent);
        MUST(close(l) == 0 && close(pair[0]) == 0 && close(pair[1]) == 0);
    }
}

static void receive_timeout_bounds_accept_in_every_thread(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        struct timeval t = {.tv_usec = 150000};
        int l = listener(0);
        IS(0, setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
        one_silent(a, l, before);
        for (int i = 0; i < THREADS; i++) {
            join_one(&a[i]);
            MUST(a[i].fd == -1 && a[i].error == EAGAIN);
            if (a[i].took < 149)
                fail(__LINE__, "150 ms took thread %d %ld ms", i, a[i].took);
        }
    }
}

static int thread_given(struct accepter a[THREADS], const struct client *c)
{
    for (;;) {
        for (int i = 0; i < THREADS; i++) {
            if (a[i].joined || kill(getpid(), 0) != 0 || syscall(SYS_tgkill, getpid(), a[i].tid, 0) == 0)
                continue;
            join_one(&a[i]);
            MUST(works(a[i].fd, c));
            MUST(close(a[i].fd) == 0 && close(c->fd) == 0);
            return i;
        }
        usleep(200);
    }
}

/* A client of a port that nobody may listen on any more. */
static bool still_heard(const struct sockaddr_in *to, struct client *c)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .number = 1};
    MUST(c->fd >= 0 && bind(c->fd, (struct sockaddr *)&from, sizeof from) == 0);
    bool connected = connect(c->fd, (const struct sockaddr *)to, sizeof *to) == 0;
    if (connected && write(c->fd, "PROXY UNKNOWN\r\n", 15) == 15)
        return true;
    MUST(errno == (connected ? ECONNRESET : ECONNREFUSED)); /* reset: the last thread left in between */
    MUST(close(c->fd) == 0);
    return false;
}

static int threads_ended(struct accepter a[THREADS])
{
    int ended = 0;
    for (int i = 0; i < THREADS; i++) {
        if (!a[i].joined && syscall(SYS_tgkill, getpid(), a[i].tid, 0) != 0)
            join_one(&a[i]);
        ended += a[i].joined;
    }
    return ended;
}

/* The kernel keeps a thread in accept, and the listener for it, until the next client comes. With peers that wait the
   thread may be let go at once. */
static void thread_in_accept_on_a_closed_listener_ends_or_serves_who_comes(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        struct sockaddr_in to;
        socklen_t length = sizeof to;
        int l = listener(0), clients = 0, served = 0;
        struct client silent = one_silent(a, l, before), c;
        MUST(getsockname(l, (struct sockaddr *)&to, &length) == 0);
        MUST(close(l) == 0);
        is_closed(&silent);
        while (threads_ended(a) < THREADS)
            if (clients < THREADS && still_heard(&to, &c))
                MUST(++clients && close(c.fd) == 0);
        for (int i = 0; i < THREADS; i++) {
            served += a[i].fd >= 0;
            MUST(a[i].fd >= 0 || a[i].error == EBADF || a[i].error == EINVAL); /* EINVAL: the number is a client's */
            MUST(a[i].fd < 0 || close(a[i].fd) == 0);
        }
        MUST(served <= clients);
        l = listener(0);
        warm(l);
        is_exact(&(struct watch){POLL, l, -1});
        MUST(close(l) == 0);
    }
}

/* Nobody waits, so the one that leads is in the kernel's accept, and stays there with the listener that the server has
   given up; the others may leave. */
static void listener_opened_while_a_thread_is_left_in_accept_on_a_closed_one_is_served(void)
{
    static struct accepter a[THREADS]; /* one of which stays when this has returned */
    int l = listener(0), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    warm(l);
    block_in_accept(a, l);
    IS(l, dup2(null, l)); /* closed, and its number taken: none of them comes across the new one by it */
    while (threads_ended(a) < THREADS - 1)
        usleep(200);
    int next = listener(0);
    for (int round = 0; round < 3; round++) {
        struct client c = introduced(next), late = dial(next);
        accepts(next, &c);
        introduce(&late);
        accepts(next, &late);
    }
    is_exact(&(struct watch){POLL, next, -1});
}

/* Another number, but perhaps what the library knew of the old one's. */
static void listener_opened_when_one_was_closed_under_accept_is_served(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        int l = listener(0), null = open("/dev/null", O_RDWR | O_CLOEXEC);
        struct client silent = one_silent(a, l, before);
        IS(l, dup2(null, l));
        int next = listener(0);
        struct client c = introduced(next), late = dial(next);
        accepts(next, &c);
        introduce(&late);
        accepts(next, &late);
        all_end_with(a, ENOTSOCK);
        is_closed(&silent);
        is_exact(&(struct watch){POLL, next, -1});
        MUST(close(next) == 0 && close(l) == 0 && close(null) == 0);
    }
}

/* The number is a listener's again before the threads have looked: whoever is still in accept is then in that one's. */
static void listener_closed_under_accept_leaves_its_number_to_a_new_one(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        int l = listener(0), next = listener(0);
        struct client silent = one_silent(a, l, before);
        IS(l, dup2(next, l));
        is_closed(&silent);
        MUST(close(next) == 0);
        for (int served = 0; served < THREADS; served++) {
            struct client c = introduced(l);
            thread_given(a, &c);
        }
        warm(l);
        is_exact(&(struct watch){POLL, l, -1});
        MUST(close(l) == 0);
    }
}

static void handlers_that_restart_end_accept_in_no_thread(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        int l = listener(0);
        struct client silent = one_silent(a, l, before);
        handle_usr1(nothing, SA_RESTART);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < THREADS; i++)
                IS(0, pthread_kill(a[i].thread, SIGUSR1));
            all_asleep(a);
        }
        struct client c = introduced(l);
        thread_given(a, &c);
        speak(&silent);
        thread_given(a, &silent);
        c = introduced(l);
        thread_given(a, &c);
    }
}

static void handlers_that_do_not_restart_end_accept_in_the_thread_they_ran_in(void)
{
    for (int victim = 0; victim < THREADS; victim++) {
        struct accepter a[THREADS];
        int l = listener(0);
        struct client silent = one_silent(a, l, true);
        handle_usr1(nothing, 0);
        IS(0, pthread_kill(a[victim].thread, SIGUSR1));
        join_one(&a[victim]);
        MUST(a[victim].fd == -1 && a[victim].error == EINTR);
        struct client c = introduced(l);
        thread_given(a, &c);
        speak(&silent);
        thread_given(a, &silent);
    }
}

/* Who is cancelled may be the one that watches for the others. */
static void cancelled(bool before, unsigned victims, bool late_first)
{
    struct accepter a[THREADS];
    int l = listener(0), left = 0;
    static char text[80];
    struct client silent = one_silent(a, l, before), other = dial(l);
    while (in_kernel_queue(l))
        usleep(200);
    all_asleep(a); /* glibc 2.36 loses a connection that comes to accept together with the cancellation */
    snprintf(text, sizeof text, "%s, victims %#x, %s", step, victims, late_first ? "late first" : "live first");
    step = text;
    for (int i = 0; i < THREADS; i++) {
        if (!(victims >> i & 1)) {
            left++;
            continue;
        }
        IS(0, pthread_cancel(a[i].thread));
        join_one(&a[i]);
    }
    all_asleep(a);
    if (late_first) {
        speak(&silent);
        thread_given(a, &silent);
    } else {
        struct client c = introduced(l);
        thread_given(a, &c);
    }
    if (left > 1) {
        struct client c = late_first ? introduced(l) : silent;
        if (!late_first)
            speak(&silent);
        thread_given(a, &c);
    }
    speak(&other);
    if (!late_first && left == 1)
        speak(&silent);
    for (int i = 0; i < 1 + (!late_first && left == 1); i++) {
        int fd = accept(l, NULL, NULL);
        MUST(works(fd, &other) || works(fd, &silent));
    }
    MUST(close(l) == 0);
}

static void threads_that_are_left_after_a_cancellation_are_served(void)
{
    for (unsigned victims = 1; victims < 7; victims++)
        for (int late_first = 0; late_first < 2; late_first++)
            cancelled(true, victims, late_first);
}

static void threads_that_are_left_after_a_cancellation_serve_live_clients(void)
{
    for (unsigned victims = 1; victims < 7; victims++)
        cancelled(false, victims, false);
}

static bool in_the_real_accept(const struct accepter *a)
{
    char path[64], text[16] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", a->tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && close(fd) == 0);
    return atoi(text) == SYS_accept4;
}

/* The others were in the kernel's accept when the peer came, and stay there when its watcher goes. */
static void late_peer_is_served_although_its_watcher_was_cancelled(void)
{
    struct accepter a[THREADS];
    int l = listener(0), watcher = 0;
    struct client silent = one_silent(a, l, false);
    while (watcher < THREADS && in_the_real_accept(&a[watcher]))
        watcher++;
    MUST(watcher < THREADS);
    IS(0, pthread_cancel(a[watcher].thread));
    join_one(&a[watcher]);
    all_asleep(a);
    speak(&silent);
    thread_given(a, &silent);
}

/* --- cases: servers whose waiting nobody sees --- */

static void half_a_header(const struct client *c)
{
    MUST(write(c->fd, "PROXY TCP4 203.0.", 17) == 17);
}

static void *other_half_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    dprintf(h->client->fd, "113.7 192.0.2.10 %u 3306\r\n", h->client->number);
    return NULL;
}

static void accept_after_an_unseen_wait_waits_for_the_header(void)
{
    int l = listener(SOCK_NONBLOCK);
    for (int round = 0; round < 3; round++) {
        struct client c = dial(l);
        struct helper h;
        half_a_header(&c);
        arrived(l);
        start(&h, other_half_while_asleep, l, &c);
        accepts(l, &c);
        done(&h);
        FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    }
}

static void *come_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    *h->client = dial(h->listener);
    speak(h->client);
    return NULL;
}

static void accept_after_an_unseen_wait_gives_whoever_is_ready_first(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct client half = dial(l), live;
    struct helper h;
    half_a_header(&half);
    arrived(l);
    start(&h, come_while_asleep, l, &live);
    int fd = accept(l, NULL, NULL);
    done(&h);
    MUST(works(fd, &live));
}

/* With PPSHIM_TIMEOUT=300ms. */
static void accept_after_an_unseen_wait_ends_in_time(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct client half = dial(l);
    half_a_header(&half);
    arrived(l);
    int64_t before = microseconds();
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    MUST(microseconds() - before < 3000000);
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    is_closed(&half);
    struct client c = introduced(l);
    arrived(l);
    accepts(l, &c);
}

/* --- cases: what is left when nobody waits --- */

/* With PPSHIM_TIMEOUT=100ms. */
static void epoll_goes_after_ten_idle_timeouts(enum way way)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch w = watching(way, l);
    warm(l);
    int before = open_fds();
    struct client c = dial(l);
    while (in_kernel_queue(l) || !is_parked(&c)) /* taken by no other way of waiting */
        IS(0, wait_for(&w, 1));
    introduce(&c);
    IS(1, wait_for(&w, LONG));
    accepts(l, &c);
    MUST(high_numbers("eventpoll").count >= 1);
    IS(0, wait_for(&w, 1300));
    IS(0, high_numbers("eventpoll").count);
    IS(before, open_fds());
    is_exact(&w);
}

static void private_epoll_goes_after_ten_idle_timeouts_of_poll(void)
{
    epoll_goes_after_ten_idle_timeouts(POLL);
}

static void private_epoll_goes_after_ten_idle_timeouts_of_select(void)
{
    epoll_goes_after_ten_idle_timeouts(SELECT);
}

static void private_epoll_goes_after_ten_idle_timeouts_of_epoll_wait(void)
{
    epoll_goes_after_ten_idle_timeouts(EPOLL);
}

static void *sleep_until_told(void *end_of_pipe)
{
    char byte;
    syscall(SYS_read, *(int *)end_of_pipe, &byte, 1);
    return NULL;
}

/* With PPSHIM_TIMEOUT=100ms: the waits of a server with threads have a private epoll from the first on. */
static void server_that_nobody_called_yet_sleeps(void)
{
    pthread_t other;
    int end[2];
    MUST(pipe(end) == 0);
    IS(0, pthread_create(&other, NULL, sleep_until_told, &end[0]));
    for (enum way way = POLL; way <= EPOLL; way++) {
        struct timespec before, after;
        int l = listener(SOCK_NONBLOCK);
        struct watch w = watching(way, l);
        IS(0, polled(l, 0));
        MUST(high_numbers("eventpoll").count == 1);
        IS(0, wait_for(&w, 1010));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        IS(0, wait_for(&w, 10 * MOMENT));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        long us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
        if (us > MOMENT * 1000)
            fail(__LINE__, "a wait of %d ms for nobody took %ld us of the processor", 10 * MOMENT, us);
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        MUST(close(l) == 0);
    }
    MUST(close(end[1]) == 0);
    IS(0, pthread_join(other, NULL));
}

/* With PPSHIM_TIMEOUT=100ms: it is the waiting ones' as long as there are any. */
static void private_epoll_stays_while_peers_come(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch w = watching(EPOLL, l);
    warm(l);
    int64_t end = microseconds() + 1500000;
    int most = 0;
    while (microseconds() < end) {
        struct client c = parked(l);
        introduce(&c);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        int count = high_numbers("eventpoll").count;
        MUST(count >= 1 && (most == 0 || count == most));
        most = count;
        IS(0, wait_for(&w, MOMENT));
    }
}

/* --- cases: TCP_DEFER_ACCEPT --- */

static int deferred(int l)
{
    int seconds = -1;
    socklen_t length = sizeof seconds;
    IS(0, getsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, &length));
    return seconds;
}

static void listener_is_not_deferred_unless_told(void)
{
    IS(0, deferred(listener(0)));
}

/* With PPSHIM_DEFER_ACCEPT=on. */
static void deferred_listener_leaves_silent_peers_to_the_kernel(void)
{
    int l = listener(0);
    struct watch w = watching(POLL, l);
    MUST(deferred(l) > 0);
    warm(l);
    int before = open_fds();
    struct client silent = dial(l);
    IS(0, wait_for(&w, MOMENT));
    MUST(!in_kernel_queue(l));
    IS(before + 1, open_fds());
    struct client c = introduced(l);
    IS(1, wait_for(&w, LONG));
    accepts(l, &c);
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
}

/* --- the list --- */

static const struct hazard cases[] = {
    CASE(child_forked_in_a_handler_that_interrupted_poll_has_no_waiting_peers),
    CASE(child_forked_in_a_handler_that_interrupted_select_has_no_waiting_peers),
    CASE(child_forked_in_a_handler_that_interrupted_epoll_wait_has_no_waiting_peers),
    CASE(child_forked_in_a_handler_that_interrupted_accept_has_no_waiting_peers),
    CASE(child_that_returns_from_a_handler_into_poll_works),
    CASE(child_that_returns_from_a_handler_into_select_works),
    CASE(child_that_returns_from_a_handler_into_epoll_wait_works),
    CASE(child_that_returns_from_a_handler_into_accept_works),
    CASE(fork_in_a_handler_whatever_it_interrupted_neither_hangs_nor_harms),
    CASE(program_started_by_vfork_or_posix_spawn_has_no_waiting_peers),
    CASE(vfork_child_that_closes_disturbs_nobody),
    CASE(child_of_a_raw_clone_accepts_and_leaves_its_parents_peers_alone),
    CASE(first_accept_in_the_child_of_a_raw_clone_makes_its_waits_exact),
    CASE(held_peer_ends_while_the_child_of_a_raw_clone_lives),
    CASE(copies_held_by_a_raw_clone_keep_nothing_open),
    CASE(server_that_daemonizes_after_epoll_ctl_works),
    CASE(child_with_its_parents_epoll_does_not_spin_for_its_parents_peers),
    CASE(parent_with_its_childs_epoll_does_not_spin_for_its_childs_peers),
    CASE(closed_listener_takes_its_waiting_and_held_peers_along),
    CASE(number_of_a_closed_listener_is_anybodys),
    CASE(number_of_a_listener_whose_close_was_not_seen_is_the_next_ones),
    CASE(listeners_whose_close_was_not_seen_make_room_for_others),
    CASE(peers_of_a_listener_whose_close_was_not_seen_go_when_its_number_is_a_clients),
    CASE(socket_with_the_number_of_a_listener_whose_close_was_not_seen_says_what_it_says),
    CASE(number_of_a_closed_epoll_is_anybodys),
    CASE(listener_works_on_after_all_unknown_numbers_were_closed),
    CASE(listener_works_on_after_all_unknown_numbers_were_closed_by_raw_system_calls),
    CASE(numbers_that_somebody_else_uses_now_are_not_closed),
    CASE(new_listener_works_after_everything_was_closed),
    CASE(private_epoll_closed_by_a_raw_system_call_is_made_anew),
    CASE(handler_that_closes_the_listener_ends_accept),
    CASE(handler_that_closes_the_listener_ends_the_wait),
    CASE(handler_that_closes_the_epoll_ends_the_wait),
    CASE(handler_that_replaces_the_epoll_at_any_moment_loses_nobody),
    CASE(copy_of_a_listener_is_governed),
    CASE(copy_of_a_listener_never_hangs_the_first_accept),
    CASE(registration_of_a_closed_number_lives_while_a_copy_does),
    CASE(listener_kept_over_exec_is_governed),
    CASE(epoll_kept_over_exec_with_its_listener_is_watched),
    CASE(dup2_onto_a_listener_closes_it),
    CASE(dup2_and_a_signal_end_accept_while_a_peer_waits),
    CASE(shutdown_ends_accept_in_every_thread),
    CASE(thread_in_accept_on_a_closed_listener_ends_or_serves_who_comes),
    CASE(dup2_ends_accept_in_every_thread_while_a_peer_waits),
    CASE(listener_opened_while_a_thread_is_left_in_accept_on_a_closed_one_is_served),
    CASE(listener_opened_when_one_was_closed_under_accept_is_served),
    CASE(listener_closed_under_accept_leaves_its_number_to_a_new_one),
    CASE(receive_timeout_bounds_accept_in_every_thread),
    CASE(handlers_that_restart_end_accept_in_no_thread),
    CASE(handlers_that_do_not_restart_end_accept_in_the_thread_they_ran_in),
    CASE(threads_that_are_left_after_a_cancellation_are_served),
    CASE(threads_that_are_left_after_a_cancellation_serve_live_clients),
    CASE(late_peer_is_served_although_its_watcher_was_cancelled),
    CASE(accept_after_an_unseen_wait_waits_for_the_header),
    CASE(accept_after_an_unseen_wait_gives_whoever_is_ready_first),
    CASE(accept_after_an_unseen_wait_ends_in_time),
    CASE(private_epoll_goes_after_ten_idle_timeouts_of_poll),
    CASE(private_epoll_goes_after_ten_idle_timeouts_of_select),
    CASE(private_epoll_goes_after_ten_idle_timeouts_of_epoll_wait),
    CASE(server_that_nobody_called_yet_sleeps),
    CASE(private_epoll_stays_while_peers_come),
    CASE(listener_is_not_deferred_unless_told),
    CASE(deferred_listener_leaves_silent_peers_to_the_kernel),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    if (argc == 2 && strcmp(argv[1], "--sockets") == 0)
        return inherited();
    if (argc == 3 && strcmp(argv[1], "--listener") == 0)
        return started_with_a_listener(atoi(argv[2]));
    if (argc == 4 && strcmp(argv[1], "--epoll") == 0)
        return started_with_an_epoll(atoi(argv[2]), atoi(argv[3]));
    return run_case(cases, sizeof cases / sizeof *cases, argc, argv);
}
