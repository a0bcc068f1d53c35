/* SPDX-License-Identifier: MIT
 *
 * close_under_a_look.c: a listener is closed, and its number and whatever the library knew of it are another
 * listener's, while a thread is at work with one of its connections.
 */
#include "hold.h"
#include "testing.h"

/* One thread looks, another closes. */
struct looker {
    pthread_t thread;
    enum way way;
    int listener, epoll, result;
    _Atomic int held;
};

static void *look(void *looker)
{
    struct looker *k = looker;
    struct pollfd p = {.fd = k->listener, .events = POLLIN}; /* which may be closed when it answers */
    k->held = hold_at_recv();
    k->result = k->way == ACCEPT   ? accept(k->listener, NULL, NULL)
                : k->way == EPOLL  ? told(k->epoll, 0)
                : k->way == SELECT ? selected(k->listener, 0)
                                   : poll(&p, 1, 0);
    return NULL;
}

struct closer {
    pthread_t thread;
    int listener, next; /* -1: none is opened */
    bool opens;
    _Atomic pid_t tid;
    atomic_bool done;
};

static void *close_and_open(void *closer)
{
    struct closer *k = closer;
    k->tid = gettid();
    MUST(close(k->listener) == 0);
    k->next = k->opens ? listener(SOCK_NONBLOCK) : -1;
    if (k->opens) { /* it is in use at once, and nobody came to it */
        FAILS_WITH(EAGAIN, accept(k->next, NULL, NULL));
        IS(0, polled(k->next, 0));
    }
    k->done = true;
    return NULL;
}

static bool sleeps(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int stat = open(path, O_RDONLY | O_CLOEXEC);
    bool answer = stat >= 0 && state_of(stat) == 'S'; /* it may have ended */
    MUST(stat < 0 || syscall(SYS_close, stat) == 0);
    return answer;
}

/* The listener is closed while `way` looks at its client: done before the look goes on, if it need not wait for that.
   Returns the listener that was opened in its place. */
static int closed_under_a_look(int l, enum way way, bool opens, int *result)
{
    struct looker looks = {.way = way, .listener = l, .held = -1, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct closer closes = {.listener = l, .opens = opens};
    step = way_names[way];
    if (way == EPOLL)
        control(looks.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    IS(0, pthread_create(&looks.thread, NULL, look, &looks));
    while (looks.held < 0)
        usleep(200);
    until_held(looks.held);
    IS(0, pthread_create(&closes.thread, NULL, close_and_open, &closes));
    while (!closes.done && !(closes.tid && sleeps(closes.tid)))
        usleep(200);
    let_go(looks.held);
    MUST(pthread_join(looks.thread, NULL) == 0 && pthread_join(closes.thread, NULL) == 0);
    MUST(close(looks.epoll) == 0);
    *result = looks.result;
    return closes.next;
}

/* What accept was in may be given to it; of a wait that was told of it nothing is left to accept. */
static void is_given_or_closed(enum way way, int result, const struct client *c)
{
    if (way != ACCEPT || result < 0) {
        is_closed(c);
        return;
    }
    MUST(works(result, c));
    MUST(close(result) == 0 && close(c->fd) == 0);
}

static void has_nobody_but_its_own(int l)
{
    IS(0, polled(l, 0));
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    struct client silent = parked(l), c = introduced(l);
    IS(1, polled(l, 0));
    accepts(l, &c);
    introduce(&silent);
    IS(1, polled(l, 0));
    accepts(l, &silent);
    MUST(close(l) == 0);
}

static void connection_of_a_closed_listener_is_not_given_to_the_next(void)
{
    for (enum way way = POLL; way <= ACCEPT; way = next_way_to_take(way)) {
        int l = listener(SOCK_NONBLOCK), result;
        warm(l);
        struct client c = introduced(l);
        int next = closed_under_a_look(l, way, true, &result);
        has_nobody_but_its_own(next);
        is_given_or_closed(way, result, &c);
    }
}

static void connection_of_a_closed_listener_is_held_for_nobody(void)
{
    for (enum way way = POLL; way <= ACCEPT; way = next_way_to_take(way)) {
        int l = listener(SOCK_NONBLOCK), result;
        warm(l);
        struct client c = introduced(l);
        IS(-1, closed_under_a_look(l, way, false, &result));
        is_given_or_closed(way, result, &c);
    }
}

/* The first that is silent, or one more. */
static void silent_peer_of_a_closed_listener_waits_for_nothing(void)
{
    for (enum way way = POLL; way <= ACCEPT; way = next_way_to_take(way)) {
        for (int round = 0; round < 4; round++) {
            bool first = round & 1, opens = round & 2;
            int l = listener(SOCK_NONBLOCK), result;
            struct client silent;
            warm(l);
            if (!first)
                silent = parked(l);
            struct client c = dial(l);
            arrived(l);
            int next = closed_under_a_look(l, way, opens, &result);
            is_closed(&c);
            if (!first)
                is_closed(&silent);
            if (opens)
                has_nobody_but_its_own(next);
        }
    }
}

static void late_peer_of_a_closed_listener_is_not_given_to_the_next(void)
{
    for (enum way way = POLL; way <= ACCEPT; way = next_way_to_take(way)) {
        int l = listener(SOCK_NONBLOCK), result;
        warm(l);
        struct client late = parked(l);
        introduce(&late);
        int next = closed_under_a_look(l, way, true, &result);
        has_nobody_but_its_own(next);
        is_given_or_closed(way, result, &late);
    }
}

static const struct test cases[] = {
    CASE(connection_of_a_closed_listener_is_not_given_to_the_next),
    CASE(connection_of_a_closed_listener_is_held_for_nobody),
    CASE(silent_peer_of_a_closed_listener_waits_for_nothing),
    CASE(late_peer_of_a_closed_listener_is_not_given_to_the_next),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
