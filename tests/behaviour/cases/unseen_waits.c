/* SPDX-License-Identifier: MIT
 *
 * unseen_waits.c: servers whose waiting nobody saw, or that were told what the kernel says because they never
 * accepted: the accept that follows.
 */
#include "testing.h"

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

static void *dial_and_speak_while_asleep(void *helper)
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
    start(&h, dial_and_speak_while_asleep, l, &live);
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

/* --- cases: the first accept after the kernel's word --- */

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

/* The server was told of it; and there is nobody else for whom accept could wait. */
static void client_that_cannot_be_told_of_never_makes_accept_wait(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        int l = listener(0);
        warm(l);
        struct watch w = watching(way, l);
        struct client c = dial_from(INADDR_LOOPBACK + 1, l, "2001:db8::7", false);
        struct sockaddr_in room;
        socklen_t length = sizeof room;
        introduce(&c);
        step = way_names[way];
        IS(1, wait_for(&w, LONG));
        FAILS_WITH(ECONNABORTED, accept(l, (struct sockaddr *)&room, &length));
        is_closed(&c);
        MUST(close(l) == 0);
    }
}

static const struct test cases[] = {
    CASE(accept_after_an_unseen_wait_waits_for_the_header),
    CASE(accept_after_an_unseen_wait_gives_whoever_is_ready_first),
    CASE(accept_after_an_unseen_wait_ends_in_time),
    CASE(first_accept_after_the_kernels_word_never_waits_on_a_blocking_listener),
    CASE(first_accept_after_the_kernels_word_never_waits_on_a_non_blocking_listener),
    CASE(first_accept_after_the_kernels_word_gives_whoever_is_ready),
    CASE(client_that_cannot_be_told_of_never_makes_accept_wait),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
