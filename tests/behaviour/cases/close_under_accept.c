/* SPDX-License-Identifier: MIT
 *
 * close_under_accept.c: a listener is closed, where the library sees it or not, while threads block in accept on
 * it.
 */
#include "testing.h"
#include <sys/eventfd.h>

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
    handle_usr1(count_signal, 0);
    start(&h, dup2_and_signal, l, NULL);
    IS(-1, accept(l, NULL, NULL));
    MUST(errno == EINTR || errno == EINVAL);
    done(&h);
    is_closed(&silent);
    FAILS_WITH(EINVAL, accept(l, NULL, NULL));
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

/* --- cases: a listener whose close nobody saw --- */

/* A client of the port on which one of them may be in the kernel's accept, though the listener is closed; it may also
   be gone altogether. */
static void last_client_of(const struct sockaddr_in *to)
{
    static const char header[] = "PROXY TCP4 203.0.113.7 192.0.2.10 4711 3306\r\n";
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    IS(0, bind(fd, (struct sockaddr *)&from, sizeof from));
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        MUST(write(fd, header, sizeof header - 1) == sizeof header - 1 || errno == EPIPE || errno == ECONNRESET);
    else
        MUST(errno == ECONNREFUSED || errno == ECONNRESET); /* reset: the last thread left in between */
}

/* `use` makes something else of the number; a listener is what it returns, for those who go over to it. */
static void all_end(bool waiting, int (*use)(int number))
{
    struct accepter a[THREADS];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, own;
    socklen_t length = sizeof own;
    int l = listener(0);
    MUST(getsockname(l, (struct sockaddr *)&own, &length) == 0);
    to.sin_port = own.sin_port;
    warm(l);
    if (waiting)
        parked(l);
    block_in_accept(a, l);
    all_asleep(a);
    MUST(syscall(SYS_close, l) == 0);
    int next = use(l);
    last_client_of(&to);
    for (int clients = 0; threads_ended(a) < THREADS; usleep(200))
        if (next >= 0 && clients++ < THREADS)
            introduced(next);
    for (int i = 0; i < THREADS; i++)
        MUST(a[i].fd >= 0 || a[i].error == EBADF || a[i].error == EINVAL || a[i].error == ENOTSOCK);
    syscall(SYS_close, l);
}

static int leave_unused(int number)
{
    (void)number;
    return -1;
}

static void tell_of(int number)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    control(epoll, EPOLL_CTL_ADD, number, EPOLLIN, TOKEN);
    MUST(close(epoll) == 0);
}

static int use_for_a_client(int number)
{
    int ends[2];
    IS(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    IS(number, ends[0]);
    tell_of(number);
    return -1;
}

static int use_for_an_event(int number)
{
    IS(number, eventfd(0, EFD_CLOEXEC));
    tell_of(number);
    return -1;
}

static int use_for_a_listener(int number)
{
    IS(number, listener(0));
    return number;
}

static void threads_on_a_listener_whose_close_was_not_seen_end(void)
{
    all_end(false, leave_unused);
}

static void threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_a_clients(void)
{
    all_end(false, use_for_a_client);
    all_end(true, use_for_a_client);
}

static void threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_no_sockets(void)
{
    all_end(false, use_for_an_event);
    all_end(true, use_for_an_event);
}

static void threads_on_a_listener_whose_close_was_not_seen_end_or_go_over_to_the_next(void)
{
    all_end(false, use_for_a_listener);
    all_end(true, use_for_a_listener);
}

static const struct test cases[] = {
    CASE(dup2_and_a_signal_end_accept_while_a_peer_waits),
    CASE(dup2_ends_accept_in_every_thread_while_a_peer_waits),
    CASE(thread_in_accept_on_a_closed_listener_ends_or_serves_who_comes),
    CASE(listener_opened_while_a_thread_is_left_in_accept_on_a_closed_one_is_served),
    CASE(listener_opened_when_one_was_closed_under_accept_is_served),
    CASE(listener_closed_under_accept_leaves_its_number_to_a_new_one),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_a_clients),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_no_sockets),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end_or_go_over_to_the_next),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
