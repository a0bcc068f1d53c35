/* SPDX-License-Identifier: MIT
 *
 * fork_in_a_handler.c: fork in a signal handler, as PostgreSQL 15's postmaster does, whatever the handler
 * interrupted: the child has nothing of its parent's peers, and both work on.
 */
#include "testing.h"

static struct { /* what the handler needs and learns */
    int fds, listener;
    _Atomic pid_t child;
    bool in_child, child_returns;
    _Atomic int status;
} handler;

/* As PostgreSQL 15's postmaster: fork, and wait for nothing else, inside the handler. */
static void fork_in_handler(int number)
{
    (void)number;
    int error = errno, status;
    pid_t child = fork();
    if (child == 0) {
        handler.in_child = true;
        if (handler.child_returns)
            return;
        _exit(open_fds() == handler.fds ? 0 : 1);
    }
    handler.child = child;
    waitpid(child, &status, 0);
    handler.status = status;
    errno = error;
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

static void *come_and_go(void *helper)
{
    struct helper *h = helper;
    while (!h->stop) {
        struct client a = dial(h->listener), b = dial(h->listener), c = dial(h->listener);
        IS(1, write(a.fd, "P", 1));
        speak(&b); /* which a child may take along */
        close_at_once(a.fd);
        close_at_once(b.fd);
        close_at_once(c.fd);
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

static const struct test cases[] = {
    CASE(child_forked_in_a_handler_that_interrupted_poll_has_no_waiting_peers),
    CASE(child_forked_in_a_handler_that_interrupted_select_has_no_waiting_peers),
    CASE(child_forked_in_a_handler_that_interrupted_epoll_wait_has_no_waiting_peers),
    CASE(child_forked_in_a_handler_that_interrupted_accept_has_no_waiting_peers),
    CASE(child_that_returns_from_a_handler_into_poll_works),
    CASE(child_that_returns_from_a_handler_into_select_works),
    CASE(child_that_returns_from_a_handler_into_epoll_wait_works),
    CASE(child_that_returns_from_a_handler_into_accept_works),
    CASE(fork_in_a_handler_whatever_it_interrupted_neither_hangs_nor_harms),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
