/* SPDX-License-Identifier: MIT
 *
 * close_in_a_handler.c: a signal handler closes the listener, or the epoll, that the interrupted call waits for.
 */
#include "testing.h"

static struct { /* what the handler closes, and puts in its place */
    int listener, epoll;
    bool other_file, other_epoll;
    atomic_int replaced;
} closer;

static void close_in_handler(int number)
{
    (void)number;
    close(closer.listener);
}

static void handler_that_closes_the_listener_ends_accept(void)
{
    for (int restart = 0; restart < 2; restart++) {
        for (int silent = 0; silent < 2; silent++) {
            int l = listener(0);
            struct client c = {.fd = -1};
            struct helper h;
            step = silent ? "a peer waits" : "nobody waits";
            warm(l);
            if (silent)
                c = parked(l);
            closer.listener = l;
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
        closer.listener = l;
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

static void *signal_often(void *helper)
{
    struct helper *h = helper;
    while (!h->stop) {
        IS(0, pthread_kill(h->sleeper, SIGUSR1));
        usleep(700);
    }
    return NULL;
}

static void replace_epoll_in_handler(int number)
{
    (void)number;
    int saved = errno;
    close(closer.epoll);
    closer.epoll = epoll_create1(EPOLL_CLOEXEC);
    control(closer.epoll, EPOLL_CTL_ADD, closer.listener, EPOLLIN, TOKEN);
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
    closer.listener = l;
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

static const struct test cases[] = {
    CASE(handler_that_closes_the_listener_ends_accept),
    CASE(handler_that_closes_the_listener_ends_the_wait),
    CASE(handler_that_closes_the_epoll_ends_the_wait),
    CASE(handler_that_replaces_the_epoll_at_any_moment_loses_nobody),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
