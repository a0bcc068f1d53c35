/* SPDX-License-Identifier: MIT
 *
 * registrations.c: poll, select and epoll_wait where telling the truth is hard: one-shot and shared registrations,
 * epolls inside epolls, time and signals while silent peers come, and processes that wait but never accept.
 *
 * `registrations NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list`
 * prints the names. The clients are 127.0.0.2, which the environment must trust, with PPSHIM_TIMEOUT long enough that
 * nobody runs out of it.
 */
#include "testing.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- ways to wait --- */

enum way { POLL, PPOLL, SELECT, PSELECT, EPOLL_WAIT, EPOLL_PWAIT, EPOLL_PWAIT2, WAYS };
static const char *const way_names[] = {"poll",       "ppoll",       "select",      "pselect",
                                        "epoll_wait", "epoll_pwait", "epoll_pwait2"};

static bool takes_a_mask(enum way way)
{
    return way == PPOLL || way == PSELECT || way == EPOLL_PWAIT || way == EPOLL_PWAIT2;
}

struct watch {
    enum way way;
    int listener, epoll;
};

static struct watch watching(enum way way, int l)
{
    struct watch w = {way, l, way >= EPOLL_WAIT ? epoll_create1(EPOLL_CLOEXEC) : -1};
    step = way_names[way];
    if (w.epoll >= 0)
        control(w.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    return w;
}

static int by_poll(const struct watch *w, int ms, const sigset_t *mask)
{
    struct pollfd p[2] = {{.fd = -1, .events = POLLIN}, {.fd = w->listener, .events = POLLIN}};
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    int n = w->way == POLL ? poll(p, 2, ms) : ppoll(p, 2, ms < 0 ? NULL : &t, mask);
    MUST(n < 0 || p[1].revents == (n ? POLLIN : 0));
    return n;
}

static int by_select(const struct watch *w, int ms, const sigset_t *mask)
{
    fd_set readable, writable, exceptional;
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    struct timeval tv = {t.tv_sec, t.tv_nsec / 1000};
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_ZERO(&exceptional);
    FD_SET(w->listener, &readable);
    int n = w->way == SELECT ? select(w->listener + 1, &readable, &writable, NULL, ms < 0 ? NULL : &tv)
                             : pselect(w->listener + 1, &readable, NULL, &exceptional, ms < 0 ? NULL : &t, mask);
    MUST(n < 0 || !FD_ISSET(w->listener, &readable) == !n);
    return n;
}

static int by_epoll(const struct watch *w, int ms, const sigset_t *mask)
{
    struct epoll_event e[4] = {{0}};
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    int n = w->way == EPOLL_WAIT    ? epoll_wait(w->epoll, e, 4, ms)
            : w->way == EPOLL_PWAIT ? epoll_pwait(w->epoll, e, 4, ms, mask)
                                    : epoll_pwait2(w->epoll, e, 4, ms < 0 ? NULL : &t, mask);
    MUST(n <= 0 || (n == 1 && e[0].events == EPOLLIN && e[0].data.u64 == TOKEN));
    return n;
}

/* 1: the listener is said to be readable; 0: the time is over; -1: errno says why. */
static int wait_masked(const struct watch *w, int ms, const sigset_t *mask)
{
    return w->way >= EPOLL_WAIT ? by_epoll(w, ms, mask)
           : w->way >= SELECT   ? by_select(w, ms, mask)
                                : by_poll(w, ms, mask);
}

static int wait_for(const struct watch *w, int ms)
{
    return wait_masked(w, ms, NULL);
}

static void nobody_comes(const struct watch *w)
{
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    IS(0, wait_for(w, MOMENT));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    long spent = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    if (spent > MOMENT * 1000 / 4)
        fail(__LINE__, "a wait of %d ms for nobody took %ld us of the processor", MOMENT, spent);
}

/* --- things that happen while this thread sleeps --- */

static int own_stat(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", gettid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0);
    return fd;
}

struct helper {
    pthread_t thread, sleeper;
    int stat, listener;
    struct client *client;
    atomic_bool stop;
};

static void start(struct helper *h, void *(*act)(void *), int l, struct client *c)
{
    h->stat = own_stat();
    h->sleeper = pthread_self();
    h->listener = l;
    h->client = c;
    h->stop = false;
    IS(0, pthread_create(&h->thread, NULL, act, h));
}

static void done(struct helper *h)
{
    h->stop = true;
    MUST(pthread_join(h->thread, NULL) == 0 && close(h->stat) == 0);
}

static void *introduce_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    speak(h->client);
    return NULL;
}

static void *keep_dialling(void *helper)
{
    struct helper *h = helper;
    enum { MOST = 100 };
    struct client silent[MOST];
    int count = 0;
    while (!h->stop) {
        if (asleep(h->stat)) {
            MUST(count < MOST || close(silent[--count].fd) == 0);
            silent[count++] = dial(h->listener);
        }
        usleep(200);
    }
    while (count > 0)
        MUST(close(silent[--count].fd) == 0);
    return NULL;
}

static atomic_int handled;

static void on_signal(int number)
{
    (void)number;
    handled++;
}

static void handle_usr1(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}; /* which no wait heeds (signal(7)) */
    IS(0, sigaction(SIGUSR1, &action, NULL));
    handled = 0;
}

static void block_usr1(bool block)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    IS(0, pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL));
}

/* --- cases: one-shot --- */

static int told(int epoll, int ms)
{
    struct epoll_event e[8];
    int n = epoll_wait(epoll, e, 8, ms);
    for (int i = 0; i < n; i++)
        MUST(e[i].events == EPOLLIN && e[i].data.u64 == TOKEN);
    return n;
}

static int one_shot(int l, uint32_t more)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLONESHOT | more, TOKEN);
    return epoll;
}

static void rearm(int epoll, int l, uint32_t more)
{
    control(epoll, EPOLL_CTL_MOD, l, EPOLLIN | EPOLLONESHOT | more, TOKEN);
}

static void silent_peer_spends_no_one_shot(void)
{
    for (int edge = 0; edge < 2; edge++) {
        uint32_t more = edge ? EPOLLET : 0;
        int l = listener(SOCK_NONBLOCK), epoll = one_shot(l, more);
        step = more ? "edge-triggered" : "level-triggered";
        warm(l);
        rearm(epoll, l, more);
        for (int round = 0; round < 3; round++) {
            struct client silent = dial(l);
            arrived(l);
            IS(0, told(epoll, 0));
            IS(0, told(epoll, MOMENT));
            struct client c = introduced(l);
            IS(1, told(epoll, LONG));
            accepts(l, &c);
            rearm(epoll, l, more);
            introduce(&silent);
            IS(1, told(epoll, LONG));
            accepts(l, &silent);
            rearm(epoll, l, more);
        }
    }
}

static void spent_one_shot_is_not_told_until_armed_again(void)
{
    for (int edge = 0; edge < 2; edge++) {
        uint32_t more = edge ? EPOLLET : 0;
        int l = listener(SOCK_NONBLOCK), epoll = one_shot(l, more);
        step = more ? "edge-triggered" : "level-triggered";
        warm(l);
        rearm(epoll, l, more);
        struct client silent = parked(l), first = introduced(l);
        IS(1, told(epoll, LONG));
        struct client second = introduced(l);
        introduce(&silent);
        IS(0, told(epoll, MOMENT));
        accepts(l, &first);
        IS(0, told(epoll, MOMENT));
        rearm(epoll, l, more);
        IS(1, told(epoll, LONG));
        IS(0, told(epoll, MOMENT));
        int fd, count = 0;
        while ((fd = accept(l, NULL, NULL)) >= 0)
            count += number_of(fd) == second.number || number_of(fd) == silent.number;
        IS(2, count);
    }
}

/* What was told through the private epoll disarms the listener, and the other way round. */
static void listener_and_waiting_peers_are_one_one_shot(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = one_shot(l, 0);
    warm(l);
    rearm(epoll, l, 0);
    struct client silent = parked(l), other = parked(l);
    introduce(&silent);
    IS(1, told(epoll, LONG));
    struct client live = introduced(l);
    step = "told of the waiting peer, a client comes";
    IS(0, told(epoll, MOMENT));
    accepts(l, &silent);
    IS(0, told(epoll, MOMENT));
    accepts(l, &live);
    rearm(epoll, l, 0);
    live = introduced(l);
    introduce(&other);
    step = "both fire before one wait";
    IS(1, told(epoll, LONG));
    IS(0, told(epoll, MOMENT));
    int first = accept(l, NULL, NULL), second = accept(l, NULL, NULL);
    MUST(first >= 0 && second >= 0);
    MUST(number_of(first) != number_of(second));
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
}

/* --- cases: registrations that change --- */

static void removed_listener_is_not_told_of_waiting_peers(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
    struct client one = parked(l), two = parked(l);
    control(epoll, EPOLL_CTL_DEL, l, 0, 0);
    introduce(&one);
    IS(0, told(epoll, MOMENT));
    struct client live = introduced(l);
    IS(0, told(epoll, MOMENT));
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    for (int i = 0; i < 2; i++) {
        IS(1, told(epoll, LONG));
        int fd = accept(l, NULL, NULL);
        MUST(number_of(fd) == one.number || number_of(fd) == live.number);
    }
    IS(0, told(epoll, MOMENT));
    introduce(&two);
    IS(1, told(epoll, LONG));
    accepts(l, &two);
}

static void silenced_listener_is_not_told_of_waiting_peers(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
    struct client one = parked(l);
    control(epoll, EPOLL_CTL_MOD, l, 0, TOKEN);
    introduce(&one);
    IS(0, told(epoll, MOMENT));
    control(epoll, EPOLL_CTL_MOD, l, EPOLLIN, TOKEN);
    IS(1, told(epoll, LONG));
    accepts(l, &one);
}

/* The listener was told ready and the server, before it accepts, stops listening for a while (too many clients). */
static void held_connection_is_not_told_while_the_listener_is_out(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    struct client c = introduced(l);
    IS(1, told(epoll, LONG));
    step = "EPOLL_CTL_DEL";
    control(epoll, EPOLL_CTL_DEL, l, 0, 0);
    IS(0, told(epoll, MOMENT));
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    IS(1, told(epoll, LONG));
    step = "events = 0";
    control(epoll, EPOLL_CTL_MOD, l, 0, TOKEN);
    IS(0, told(epoll, MOMENT));
    control(epoll, EPOLL_CTL_MOD, l, EPOLLIN | EPOLLET, TOKEN);
    step = "edge-triggered";
    IS(1, told(epoll, LONG));
    accepts(l, &c);
}

static void data_changed_by_mod_is_what_comes(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
    struct client one = parked(l);
    control(epoll, EPOLL_CTL_MOD, l, EPOLLIN, TOKEN);
    introduce(&one);
    IS(1, told(epoll, LONG));
    accepts(l, &one);
    one = introduced(l);
    IS(1, told(epoll, LONG));
    accepts(l, &one);
    IS(0, told(epoll, MOMENT));
}

static void edge_is_told_once_and_each_new_client_is_an_edge(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLET, TOKEN);
    IS(0, told(epoll, 0));
    for (int round = 0; round < 3; round++) {
        struct client silent = dial(l);
        arrived(l);
        IS(0, told(epoll, MOMENT));
        introduce(&silent);
        IS(1, told(epoll, LONG));
        IS(0, told(epoll, MOMENT)); /* the server has not accepted: no new edge */
        accepts(l, &silent);
        struct client c = introduced(l);
        IS(1, told(epoll, LONG));
        accepts(l, &c);
        FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
        IS(0, told(epoll, 0));
    }
}

/* A server that gives everything the same data tries everything at each event. */
static void shared_data(bool listener_first, bool by_mod)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0), pair[2];
    char byte;
    step = by_mod ? "data made the same later" : listener_first ? "listener first" : "listener last";
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    warm(l);
    if (by_mod) {
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
        control(epoll, EPOLL_CTL_ADD, pair[0], EPOLLIN, 2);
        control(epoll, EPOLL_CTL_MOD, listener_first ? l : pair[0], EPOLLIN, listener_first ? 2 : 1);
    } else {
        control(epoll, EPOLL_CTL_ADD, listener_first ? l : pair[0], EPOLLIN, TOKEN);
        control(epoll, EPOLL_CTL_ADD, listener_first ? pair[0] : l, EPOLLIN, TOKEN);
    }
    struct epoll_event e[4];
    for (int round = 0; round < 3; round++) {
        struct client c;
        MUST(write(pair[1], "a", 1) == 1);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        MUST(read(pair[0], &byte, 1) == 1);
        c = introduced(l);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        accepts(l, &c);
        c = introduced(l);
        MUST(write(pair[1], "b", 1) == 1);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        accepts(l, &c);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        MUST(read(pair[0], &byte, 1) == 1);
    }
}

static void listener_with_the_data_of_another_descriptor_loses_no_event(void)
{
    for (int i = 0; i < 4; i++)
        shared_data(i & 1, i & 2);
}

/* The same with silent peers: whatever is told, a server that tries everything serves everybody. */
static void data_shared_while_peers_wait(bool parked_before)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0), pair[2];
    struct watch w = {.way = EPOLL_WAIT, .epoll = epoll, .listener = l};
    struct epoll_event e[4];
    struct client silent;
    char byte;
    step = parked_before ? "parked before" : "parked after";
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    if (parked_before)
        silent = parked(l);
    control(epoll, EPOLL_CTL_ADD, pair[0], EPOLLIN, TOKEN);
    if (!parked_before)
        silent = parked(l);
    nobody_comes(&w);
    MUST(write(pair[1], "a", 1) == 1);
    MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
    MUST(read(pair[0], &byte, 1) == 1);
    introduce(&silent);
    MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
    accepts(l, &silent);
}

static void peer_that_waits_at_a_listener_with_the_data_of_another_is_told(void)
{
    data_shared_while_peers_wait(true);
    data_shared_while_peers_wait(false);
}

static void socket_put_into_an_epoll_before_listen_is_watched(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), other[2];
    int epolls[2] = {epoll_create1(EPOLL_CLOEXEC), epoll_create1(EPOLL_CLOEXEC)};
    MUST(pipe(other) == 0);
    control(epolls[0], EPOLL_CTL_ADD, other[0], EPOLLIN, TOKEN + 1);
    control(epolls[0], EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    control(epolls[1], EPOLL_CTL_ADD, l, EPOLLIN | EPOLLET, TOKEN);
    IS(0, bind(l, (struct sockaddr *)&any, sizeof any));
    IS(0, listen(l, 1024));
    warm(l);
    for (int i = 0; i < 2; i++) {
        step = i ? "edge-triggered" : "level-triggered";
        while (told(epolls[i], 0))
            ;
        struct client silent = dial(l);
        IS(0, told(epolls[i], MOMENT));
        struct client c = introduced(l);
        IS(1, told(epolls[i], LONG));
        accepts(l, &c);
        IS(0, told(epolls[i], MOMENT));
        introduce(&silent);
        IS(1, told(epolls[i], LONG));
        accepts(l, &silent);
    }
}

/* By a raw system call, or by whoever sent it to a number that was a client's. */
static void listener_that_was_taken_for_a_client_in_an_epoll_is_watched_once_it_accepted(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    IS(0, bind(l, (struct sockaddr *)&any, sizeof any));
    IS(0, syscall(SYS_listen, l, 1024));
    struct client silent = dial(l);
    IS(1, told(epoll, LONG)); /* the kernel's word */
    int64_t before = microseconds();
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    MUST(microseconds() - before < LONG * 1000 / 2); /* a header may take a minute */
    IS(0, told(epoll, MOMENT));
    introduce(&silent);
    IS(1, told(epoll, LONG));
    accepts(l, &silent);
}

/* --- cases: several of each --- */

static void exclusive_listener_is_told_of_waiting_peers(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLEXCLUSIVE, TOKEN);
    for (int round = 0; round < 3; round++) {
        struct client silent = dial(l);
        arrived(l);
        IS(0, told(epoll, MOMENT));
        struct client c = introduced(l);
        IS(1, told(epoll, LONG));
        accepts(l, &c);
        introduce(&silent);
        IS(1, told(epoll, LONG));
        accepts(l, &silent);
    }
}

#define THREADS 3
#define CLIENTS 24

struct worker {
    pthread_t thread;
    int listener, stop;
    bool polls;
    uint32_t events;
    atomic_int *served;
};

static void serve_all(const struct worker *w)
{
    int fd;
    while ((fd = accept(w->listener, NULL, NULL)) >= 0) {
        w->served[number_of(fd)]++;
        MUST(close(fd) == 0);
    }
    MUST(errno == EAGAIN);
}

static void *serve_by_epoll(void *worker)
{
    struct worker *w = worker;
    struct epoll_event e;
    int epoll = epoll_create1(0);
    control(epoll, EPOLL_CTL_ADD, w->listener, w->events, TOKEN);
    control(epoll, EPOLL_CTL_ADD, w->stop, EPOLLIN, 0);
    while (epoll_wait(epoll, &e, 1, -1) == 1 && e.data.u64 == TOKEN) {
        serve_all(w);
        if (w->events & EPOLLONESHOT)
            control(epoll, EPOLL_CTL_MOD, w->listener, w->events, TOKEN);
    }
    return NULL;
}

static void *serve_by_poll(void *worker)
{
    struct worker *w = worker;
    struct pollfd p[2] = {{.fd = w->listener, .events = POLLIN}, {.fd = w->stop, .events = POLLIN}};
    while (poll(p, 2, -1) >= 1 && !p[1].revents)
        serve_all(w);
    return NULL;
}

static void is_served(const struct client *c)
{
    char byte;
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    IS(1, poll(&p, 1, LONG));
    IS(0, read(c->fd, &byte, 1));
    MUST(close(c->fd) == 0);
}

static void threads_serve_everybody(const uint32_t events[THREADS], unsigned polls)
{
    static atomic_int served[65536];
    int l = listener(SOCK_NONBLOCK), stop = eventfd(0, 0);
    struct worker workers[THREADS];
    struct client silent[CLIENTS];
    warm(l);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.listener = l, .stop = stop, .events = events[i], .served = served};
        IS(0, pthread_create(&workers[i].thread, NULL, polls >> i & 1 ? serve_by_poll : serve_by_epoll, &workers[i]));
    }
    for (int i = 0; i < CLIENTS; i++) {
        silent[i] = dial(l);
        struct client c = introduced(l);
        is_served(&c);
        IS(1, served[c.number]);
    }
    for (int i = 0; i < CLIENTS; i += 2)
        introduce(&silent[i]);
    for (int i = 0; i < CLIENTS; i += 2)
        is_served(&silent[i]);
    for (int i = 1; i < CLIENTS; i += 2) {
        introduce(&silent[i]);
        is_served(&silent[i]);
        IS(1, served[silent[i].number]);
    }
    IS(0, eventfd_write(stop, 1));
    for (int i = 0; i < THREADS; i++)
        IS(0, pthread_join(workers[i].thread, NULL));
}

static void several_epolls_on_one_listener_serve_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN, EPOLLIN, EPOLLIN}, 0);
}

static void several_exclusive_epolls_on_one_listener_serve_everybody(void)
{
    uint32_t exclusive = EPOLLIN | EPOLLEXCLUSIVE;
    threads_serve_everybody((uint32_t[]){exclusive, exclusive, exclusive}, 0);
}

static void several_edge_triggered_epolls_on_one_listener_serve_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN | EPOLLET, EPOLLIN | EPOLLET, EPOLLIN | EPOLLET}, 0);
}

static void several_one_shot_epolls_on_one_listener_serve_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLONESHOT}, 0);
}

static void listener_in_poll_and_in_epolls_at_once_serves_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN, 0, EPOLLIN | EPOLLET}, 2);
}

static void all_ways_agree_about_one_listener(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch ways[WAYS];
    for (enum way way = POLL; way < WAYS; way++)
        ways[way] = watching(way, l);
    warm(l);
    struct client silent = dial(l), c;
    arrived(l);
    for (int round = 0; round < 3; round++) {
        for (enum way way = POLL; way < WAYS; way++)
            IS(0, wait_for(&ways[way], 0));
        c = round == 1 ? silent : dial(l);
        introduce(&c);
        for (enum way way = POLL; way < WAYS; way++)
            IS(1, wait_for(&ways[way], LONG));
        accepts(l, &c);
    }
    for (enum way way = POLL; way < WAYS; way++)
        IS(0, wait_for(&ways[way], 0));
}

static void several_listeners_in_one_epoll_are_told_each_for_itself(void)
{
    enum { LISTENERS = 4 };
    int l[LISTENERS], epoll = epoll_create1(0);
    struct client silent[LISTENERS], live[LISTENERS];
    struct epoll_event e[LISTENERS];
    for (unsigned i = 0; i < LISTENERS; i++) {
        l[i] = listener(SOCK_NONBLOCK);
        warm(l[i]);
        control(epoll, EPOLL_CTL_ADD, l[i], EPOLLIN, i);
        silent[i] = dial(l[i]);
        arrived(l[i]);
    }
    IS(0, epoll_wait(epoll, e, LISTENERS, MOMENT));
    for (unsigned i = 0; i < LISTENERS; i++) {
        introduce(&silent[i]);
        IS(1, epoll_wait(epoll, e, LISTENERS, LONG));
        IS(i, e[0].data.u64);
        accepts(l[i], &silent[i]);
    }
    for (unsigned i = 0; i < LISTENERS; i++)
        live[i] = introduced(l[i]);
    for (unsigned left = (1 << LISTENERS) - 1; left;) {
        int n = epoll_wait(epoll, e, LISTENERS, LONG);
        MUST(n >= 1);
        for (int i = 0; i < n; i++) {
            MUST(left & 1u << e[i].data.u64);
            left &= ~(1u << e[i].data.u64);
            accepts(l[e[i].data.u64], &live[e[i].data.u64]);
        }
    }
    IS(0, epoll_wait(epoll, e, LISTENERS, 0));
}

/* --- cases: an epoll inside another, or polled --- */

static bool inner_is_polled_ready(int inner)
{
    struct pollfd p = {.fd = inner, .events = POLLIN};
    fd_set set;
    struct timeval at_once = {0};
    FD_ZERO(&set);
    FD_SET(inner, &set);
    int polled = poll(&p, 1, 0), selected = select(inner + 1, &set, NULL, NULL, &at_once);
    IS(polled, selected);
    return polled;
}

static void nested(int outer, int inner, int l)
{
    struct watch w = {.way = EPOLL_WAIT, .epoll = outer, .listener = l};
    struct helper h;
    warm(l);
    for (int round = 0; round < 2; round++) {
        struct client silent = dial(l);
        arrived(l);
        IS(0, wait_for(&w, 0));
        nobody_comes(&w);
        MUST(!inner_is_polled_ready(inner));
        start(&h, keep_dialling, l, NULL);
        int64_t before = microseconds();
        IS(0, wait_for(&w, MOMENT));
        MUST(microseconds() - before >= MOMENT * 1000);
        done(&h);
        start(&h, introduce_while_asleep, l, &silent);
        IS(1, wait_for(&w, LONG));
        done(&h);
        MUST(inner_is_polled_ready(inner));
        IS(1, told(inner, LONG));
        accepts(l, &silent);
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        IS(1, told(inner, LONG));
        accepts(l, &c);
        IS(0, wait_for(&w, 0));
        MUST(!inner_is_polled_ready(inner));
    }
}

static void epoll_inside_an_epoll_is_ready_when_a_client_is(void)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0), outer = epoll_create1(0);
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, TOKEN);
    nested(outer, inner, l);
}

/* The outer one knows the inner one before that has a listener. */
static void listener_put_into_an_epoll_that_is_inside_another_is_told_exactly(void)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0), outer = epoll_create1(0);
    control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, TOKEN);
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    nested(outer, inner, l);
}

static void epoll_two_deep_is_ready_when_a_client_is(void)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0), middle = epoll_create1(0), outer = epoll_create1(0);
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    control(middle, EPOLL_CTL_ADD, inner, EPOLLIN, TOKEN);
    control(outer, EPOLL_CTL_ADD, middle, EPOLLIN, TOKEN);
    nested(outer, inner, l);
}

static void polled_epoll(enum way way)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0);
    struct watch w = {.way = way, .listener = inner};
    struct helper h;
    step = way_names[way];
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    warm(l);
    nobody_comes(&w);
    struct client silent = dial(l);
    arrived(l);
    IS(0, wait_for(&w, 0));
    nobody_comes(&w);
    start(&h, keep_dialling, l, NULL);
    int64_t before = microseconds();
    IS(0, wait_for(&w, MOMENT));
    MUST(microseconds() - before >= MOMENT * 1000);
    done(&h);
    start(&h, introduce_while_asleep, l, &silent);
    IS(1, wait_for(&w, LONG));
    done(&h);
    IS(1, told(inner, LONG));
    accepts(l, &silent);
    IS(0, wait_for(&w, 0));
}

static void polled_epoll_is_ready_when_a_client_is(void)
{
    for (enum way way = POLL; way <= PSELECT; way++)
        polled_epoll(way);
}

/* --- cases: what is not the listener's readability --- */

static void sorts_of_descriptor(struct pollfd p[8])
{
    int in[2], out[2], pair[2], closed = dup(0);
    MUST(pipe(in) == 0 && pipe(out) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(close(in[1]) == 0 && close(out[0]) == 0 && close(closed) == 0);
    p[0] = (struct pollfd){.fd = in[0], .events = POLLIN};             /* POLLHUP */
    p[1] = (struct pollfd){.fd = out[1], .events = POLLOUT};           /* POLLERR */
    p[2] = (struct pollfd){.fd = pair[0], .events = POLLIN | POLLOUT}; /* POLLOUT */
    p[3] = (struct pollfd){.fd = closed, .events = POLLIN};            /* POLLNVAL */
    p[4] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 77}; /* 0 */
    p[5] = (struct pollfd){.fd = pair[1], .events = 0, .revents = 77}; /* 0 */
    p[6] = (struct pollfd){.fd = ~in[0], .events = POLLOUT};           /* 0 */
}

static void other_descriptors_say_what_they_say_beside_the_listener(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct pollfd p[8], expected[8];
    sorts_of_descriptor(p);
    warm(l);
    for (int round = 0; round < 3; round++) {
        struct client c = round == 2 ? introduced(l) : dial(l);
        arrived(l);
        p[7] = (struct pollfd){.fd = l, .events = POLLIN | POLLOUT};
        memcpy(expected, p, sizeof p);
        long n = syscall(SYS_poll, expected, 7, 0);
        IS(n + (round == 2), poll(p, 8, -1));
        for (int i = 0; i < 7; i++)
            IS(expected[i].revents, p[i].revents);
        IS(round == 2 ? POLLIN : 0, p[7].revents);
        if (round == 2)
            accepts(l, &c);
    }
}

static void listener_that_is_shut_down_says_what_the_kernel_says(void)
{
    for (int round = 0; round < 2; round++) {
        int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
        struct epoll_event e, bare;
        struct pollfd p = {.fd = l, .events = POLLIN}, expected = p;
        warm(l);
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
        parked(l);
        MUST(shutdown(l, SHUT_RDWR) == 0);
        IS(1, syscall(SYS_poll, &expected, 1, LONG));
        IS(1, poll(&p, 1, LONG));
        IS(expected.revents, p.revents);
        IS(1, syscall(SYS_epoll_wait, epoll, &bare, 1, LONG));
        IS(1, epoll_wait(epoll, &e, 1, LONG));
        IS(bare.events, e.events & ~(uint32_t)EPOLLIN); /* accept fails at once: ready in our sense too */
        FAILS_WITH(EINVAL, accept(l, NULL, NULL));
    }
}

static void waits_without_descriptors_are_waits(void)
{
    struct timeval tv = {.tv_usec = MOMENT * 1000};
    struct timespec t = {.tv_nsec = MOMENT * 1000000};
    struct pollfd p = {.fd = -1, .events = POLLIN};
    int l = listener(0);
    warm(l);
    parked(l);
    int64_t before = microseconds();
    IS(0, poll(NULL, 0, MOMENT));
    IS(0, poll(&p, 0, MOMENT));
    IS(0, poll(&p, 1, MOMENT));
    IS(0, p.revents);
    IS(0, ppoll(NULL, 0, &t, NULL));
    IS(0, select(0, NULL, NULL, NULL, &tv));
    IS(0, tv.tv_usec);
    IS(0, pselect(0, NULL, NULL, NULL, &t, NULL));
    MUST(microseconds() - before >= 6 * MOMENT * 1000);
    IS(0, poll(NULL, 0, 0));
    struct timeval at_once = {0};
    IS(0, select(l + 1, NULL, NULL, NULL, &at_once));
}

static void bad_arguments_beside_a_listener_fail_as_ever(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    struct pollfd p = {.fd = l, .events = POLLIN};
    struct timespec bad = {.tv_nsec = 1000000000}, negative = {.tv_sec = -1};
    struct timeval negative_tv = {.tv_sec = -1};
    volatile int too_few = -1;
    struct epoll_event e;
    fd_set set;
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    parked(l);
    FD_ZERO(&set);
    FD_SET(l, &set);
    FAILS_WITH(EINVAL, ppoll(&p, 1, &bad, NULL));
    FAILS_WITH(EINVAL, ppoll(&p, 1, &negative, NULL));
    FAILS_WITH(EINVAL, pselect(l + 1, &set, NULL, NULL, &bad, NULL));
    FAILS_WITH(EINVAL, select(l + 1, &set, NULL, NULL, &negative_tv));
    FAILS_WITH(EINVAL, epoll_wait(epoll, &e, 0, 0));
    FAILS_WITH(EINVAL, epoll_wait(epoll, &e, too_few, 0));
    FAILS_WITH(EINVAL, epoll_pwait2(epoll, &e, 1, &bad, NULL));
    FAILS_WITH(EEXIST, epoll_ctl(epoll, EPOLL_CTL_ADD, l, &e));
    FAILS_WITH(EINVAL, epoll_wait(l, &e, 1, 0));
    int closed = dup(0);
    FD_SET(closed, &set);
    MUST(close(closed) == 0);
    FAILS_WITH(EBADF, select(closed + 1, &set, NULL, NULL, NULL));
}

/* poll refuses more entries than RLIMIT_NOFILE: the library's own must not count. */
static void as_many_entries_as_descriptors_allowed_can_be_polled(void)
{
    enum { MOST = 64 };
    int l = listener(SOCK_NONBLOCK);
    struct rlimit limit = {MOST, MOST};
    struct pollfd p[MOST];
    warm(l);
    IS(0, setrlimit(RLIMIT_NOFILE, &limit));
    parked(l);
    for (int i = 0; i < MOST; i++)
        p[i] = (struct pollfd){.fd = i == 7 ? l : -1, .events = POLLIN};
    IS(0, poll(p, MOST, MOMENT));
    struct client c = introduced(l);
    IS(1, poll(p, MOST, LONG));
    IS(POLLIN, p[7].revents);
    accepts(l, &c);
}

/* --- cases: time --- */

/* They come for as long as the wait lasts: were its time counted anew for each, it would not end. */
static void timeouts_are_kept_while_silent_peers_come(void)
{
    enum { MS = 50, ROUNDS = 4 };
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(SOCK_NONBLOCK);
        struct watch w = watching(way, l);
        warm(l);
        for (int round = 0; round < ROUNDS; round++) {
            struct helper h;
            dial(l);
            start(&h, keep_dialling, l, NULL);
            int64_t before = microseconds();
            IS(0, wait_for(&w, MS));
            int64_t late = microseconds() - before - MS * 1000;
            done(&h);
            if (late < 0)
                fail(__LINE__, "%d ms ended %ld us early", MS, (long)-late);
        }
    }
}

static void timeout_of_nothing_asks_and_does_not_wait(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        warm(l);
        IS(0, wait_for(&w, 0));
        struct client silent = dial(l);
        arrived(l);
        IS(0, wait_for(&w, 0));
        introduce(&silent);
        IS(1, wait_for(&w, 0));
        IS(1, wait_for(&w, 0));
        accepts(l, &silent);
        IS(0, wait_for(&w, 0));
    }
}

static void *introduce_after_a_while(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    usleep(MOMENT * 1000);
    speak(h->client);
    return NULL;
}

static void select_writes_back_the_time_that_is_left(void)
{
    int l = listener(0);
    struct helper h;
    warm(l);
    struct client silent = parked(l);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(l, &set);
    struct timeval left = {.tv_sec = LONG / 1000};
    start(&h, introduce_after_a_while, l, &silent);
    int64_t before = microseconds();
    IS(1, select(l + 1, &set, NULL, NULL, &left));
    int64_t took = microseconds() - before, remains = left.tv_sec * INT64_C(1000000) + left.tv_usec;
    done(&h);
    MUST(remains >= LONG * 1000 - took - 1);
    MUST(remains <= (LONG - MOMENT) * 1000);
    accepts(l, &silent);
    parked(l);
    left = (struct timeval){.tv_usec = MOMENT * 1000};
    IS(0, select(l + 1, &set, NULL, NULL, &left));
    MUST(left.tv_sec == 0 && left.tv_usec == 0 && !FD_ISSET(l, &set));
}

/* --- cases: signals --- */

static void pending_signal_ends_the_wait_although_silent_peers_come(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        if (!takes_a_mask(way))
            continue;
        for (int silent = 0; silent < 3; silent++) {
            int l = listener(0);
            struct watch w = watching(way, l);
            sigset_t none, now;
            sigemptyset(&none);
            warm(l);
            for (int i = 0; i < silent; i++)
                dial(l);
            if (silent)
                arrived(l);
            handle_usr1();
            block_usr1(true);
            IS(0, raise(SIGUSR1));
            IS(0, handled);
            FAILS_WITH(EINTR, wait_masked(&w, LONG, &none));
            IS(1, handled);
            MUST(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1);
            IS(0, sigismember(&now, SIGUSR2));
            block_usr1(false);
        }
    }
}

static void *signal_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    return keep_dialling(helper);
}

static void masked_signal_waits_for_the_end_of_the_wait(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        if (!takes_a_mask(way))
            continue;
        int l = listener(0);
        struct watch w = watching(way, l);
        struct helper h;
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR1);
        warm(l);
        dial(l);
        handle_usr1();
        start(&h, signal_while_asleep, l, NULL);
        int64_t before = microseconds();
        IS(0, wait_masked(&w, 2 * MOMENT, &mask));
        MUST(microseconds() - before >= 2 * MOMENT * 1000);
        done(&h);
        IS(1, handled);
    }
}

static void signal_ends_every_wait_while_peers_are_silent(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        struct helper h;
        warm(l);
        struct client silent = parked(l);
        handle_usr1();
        start(&h, signal_while_asleep, l, NULL);
        FAILS_WITH(EINTR, wait_for(&w, LONG));
        done(&h);
        IS(1, handled);
        introduce(&silent);
        IS(1, wait_for(&w, LONG));
        accepts(l, &silent);
    }
}

/* A signal comes just when the wait was woken by a peer that turns out to be silent. */
static void *peer_and_signal(void *helper)
{
    struct helper *h = helper;
    struct client c[3];
    until_asleep(h->stat);
    for (int i = 0; i < 3; i++)
        c[i] = dial(h->listener);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    for (int i = 0; i < 3; i++)
        MUST(close(c[i].fd) == 0);
    return NULL;
}

/* One is silent already: without a mask, the first that comes to an idle server may hide a signal, as the moment
   between a server's look at its flag and its wait does without the shim. */
static void signal_that_comes_with_a_silent_peer_ends_the_wait(bool masked)
{
    enum { ROUNDS = 60 };
    for (enum way way = POLL; way < WAYS; way++) {
        if (masked && !takes_a_mask(way))
            continue;
        int l = listener(SOCK_NONBLOCK);
        struct watch w = watching(way, l);
        sigset_t none;
        sigemptyset(&none);
        warm(l);
        if (!masked)
            parked(l);
        handle_usr1();
        block_usr1(masked);
        for (int round = 0; round < ROUNDS; round++) {
            struct helper h;
            handled = 0;
            start(&h, peer_and_signal, l, NULL);
            int n = wait_masked(&w, 2000, masked ? &none : NULL);
            if (n != -1 || errno != EINTR)
                fail(__LINE__, "round %d: the wait gave %d although a signal was handled %d times", round, n, handled);
            done(&h);
            IS(1, handled);
        }
        block_usr1(false);
    }
}

static void signal_let_in_by_the_mask_is_not_lost_when_a_silent_peer_comes_with_it(void)
{
    signal_that_comes_with_a_silent_peer_ends_the_wait(true);
}

static void signal_is_not_lost_when_a_silent_peer_comes_with_it(void)
{
    signal_that_comes_with_a_silent_peer_ends_the_wait(false);
}

static void signal_that_comes_with_a_silent_peer_ends_a_blocking_accept(void)
{
    int l = listener(0);
    struct sigaction ends = {.sa_handler = on_signal}; /* no SA_RESTART */
    dial(l);                                           /* one is silent already: see above */
    warm(l);
    IS(0, sigaction(SIGUSR1, &ends, NULL));
    for (int round = 0; round < 100; round++) {
        struct helper h;
        handled = 0;
        start(&h, peer_and_signal, l, NULL);
        FAILS_WITH(EINTR, accept(l, NULL, NULL));
        done(&h);
        IS(1, handled);
    }
}

/* --- cases: descriptors select cannot name --- */

static int highest_of_ours(void)
{
    int highest = -1;
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(d));)
        highest = atoi(e->d_name) > highest ? atoi(e->d_name) : highest;
    closedir(d);
    return highest;
}

static void select_works_with_waiting_peers_above_its_sets(void)
{
    struct rlimit limit;
    IS(0, getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 4096;
    if (limit.rlim_max < limit.rlim_cur) {
        printf("skip %s: RLIMIT_NOFILE is at most %lu\n", name, (unsigned long)limit.rlim_max);
        exit(77);
    }
    IS(0, setrlimit(RLIMIT_NOFILE, &limit));
    for (enum way way = SELECT; way <= PSELECT; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        struct helper h;
        warm(l);
        struct client silent = parked(l);
        MUST(highest_of_ours() >= FD_SETSIZE);
        IS(0, wait_for(&w, MOMENT));
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        start(&h, introduce_while_asleep, l, &silent);
        IS(1, wait_for(&w, LONG));
        done(&h);
        accepts(l, &silent);
        IS(0, wait_for(&w, 0));
    }
}

/* --- cases: who waits but does not accept --- */

static unsigned open_sockets(void)
{
    unsigned count = 0;
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *e; (e = readdir(d));) {
        char what[64] = "";
        if (readlinkat(dirfd(d), e->d_name, what, sizeof what - 1) > 0)
            count += strncmp(what, "socket:", 7) == 0 || strstr(what, "eventpoll");
    }
    closedir(d);
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

static void first_accept_never_waits(int flags, int error)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(flags);
        struct watch w = watching(way, l);
        struct helper h;
        struct client silent = dial(l);
        IS(1, wait_for(&w, LONG));
        FAILS_WITH(error, accept(l, NULL, NULL));
        IS(0, wait_for(&w, MOMENT));
        start(&h, introduce_while_asleep, l, &silent);
        if (flags)
            IS(1, wait_for(&w, LONG));
        accepts(l, &silent); /* which waits, on a blocking listener: the error came once */
        done(&h);

        l = listener(flags);
        w = watching(way, l);
        MUST(close(dial(l).fd) == 0);
        IS(1, wait_for(&w, LONG));
        FAILS_WITH(error, accept(l, NULL, NULL));
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
    }
}

static void first_accept_after_the_kernels_word_never_waits_on_a_blocking_listener(void)
{
    first_accept_never_waits(0, ECONNABORTED);
}

static void first_accept_after_the_kernels_word_never_waits_on_a_non_blocking_listener(void)
{
    first_accept_never_waits(SOCK_NONBLOCK, EAGAIN);
}

static void first_accept_after_the_kernels_word_gives_whoever_is_ready(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        struct client silent = dial(l), c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        IS(0, wait_for(&w, 0));
        introduce(&silent);
        IS(1, wait_for(&w, LONG));
        accepts(l, &silent);
    }
}

/* --- the list --- */

static const struct hazard cases[] = {
    CASE(silent_peer_spends_no_one_shot),
    CASE(spent_one_shot_is_not_told_until_armed_again),
    CASE(listener_and_waiting_peers_are_one_one_shot),
    CASE(socket_put_into_an_epoll_before_listen_is_watched),
    CASE(listener_that_was_taken_for_a_client_in_an_epoll_is_watched_once_it_accepted),
    CASE(removed_listener_is_not_told_of_waiting_peers),
    CASE(silenced_listener_is_not_told_of_waiting_peers),
    CASE(held_connection_is_not_told_while_the_listener_is_out),
    CASE(data_changed_by_mod_is_what_comes),
    CASE(edge_is_told_once_and_each_new_client_is_an_edge),
    CASE(listener_with_the_data_of_another_descriptor_loses_no_event),
    CASE(peer_that_waits_at_a_listener_with_the_data_of_another_is_told),
    CASE(exclusive_listener_is_told_of_waiting_peers),
    CASE(several_epolls_on_one_listener_serve_everybody),
    CASE(several_exclusive_epolls_on_one_listener_serve_everybody),
    CASE(several_edge_triggered_epolls_on_one_listener_serve_everybody),
    CASE(several_one_shot_epolls_on_one_listener_serve_everybody),
    CASE(listener_in_poll_and_in_epolls_at_once_serves_everybody),
    CASE(all_ways_agree_about_one_listener),
    CASE(several_listeners_in_one_epoll_are_told_each_for_itself),
    CASE(epoll_inside_an_epoll_is_ready_when_a_client_is),
    CASE(listener_put_into_an_epoll_that_is_inside_another_is_told_exactly),
    CASE(epoll_two_deep_is_ready_when_a_client_is),
    CASE(polled_epoll_is_ready_when_a_client_is),
    CASE(other_descriptors_say_what_they_say_beside_the_listener),
    CASE(listener_that_is_shut_down_says_what_the_kernel_says),
    CASE(waits_without_descriptors_are_waits),
    CASE(bad_arguments_beside_a_listener_fail_as_ever),
    CASE(as_many_entries_as_descriptors_allowed_can_be_polled),
    CASE(timeouts_are_kept_while_silent_peers_come),
    CASE(timeout_of_nothing_asks_and_does_not_wait),
    CASE(select_writes_back_the_time_that_is_left),
    CASE(pending_signal_ends_the_wait_although_silent_peers_come),
    CASE(masked_signal_waits_for_the_end_of_the_wait),
    CASE(signal_ends_every_wait_while_peers_are_silent),
    CASE(signal_let_in_by_the_mask_is_not_lost_when_a_silent_peer_comes_with_it),
    CASE(signal_that_comes_with_a_silent_peer_ends_a_blocking_accept),
    CASE(signal_is_not_lost_when_a_silent_peer_comes_with_it),
    CASE(select_works_with_waiting_peers_above_its_sets),
    CASE(watcher_whose_children_accept_takes_nothing),
    CASE(child_that_only_watches_takes_nothing),
    CASE(first_accept_after_the_kernels_word_never_waits_on_a_blocking_listener),
    CASE(first_accept_after_the_kernels_word_never_waits_on_a_non_blocking_listener),
    CASE(first_accept_after_the_kernels_word_gives_whoever_is_ready),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases, argc, argv);
}
