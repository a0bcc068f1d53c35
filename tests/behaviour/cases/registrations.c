/* SPDX-License-Identifier: MIT
 *
 * registrations.c: a listener's registration in an epoll that comes before listen, changes, or goes.
 */
#include "testing.h"

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

static const struct test cases[] = {
    CASE(removed_listener_is_not_told_of_waiting_peers),
    CASE(silenced_listener_is_not_told_of_waiting_peers),
    CASE(held_connection_is_not_told_while_the_listener_is_out),
    CASE(data_changed_by_mod_is_what_comes),
    CASE(socket_put_into_an_epoll_before_listen_is_watched),
    CASE(listener_that_was_taken_for_a_client_in_an_epoll_is_watched_once_it_accepted),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
