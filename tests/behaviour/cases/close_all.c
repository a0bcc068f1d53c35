/* SPDX-License-Identifier: MIT
 *
 * close_all.c: servers that close what they do not know (closefrom, close_range, loops, raw system calls), and what
 * somebody else then uses those numbers for.
 */
#include "testing.h"
#include <sys/stat.h>

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
    for (enum way way = POLL; way <= ACCEPT; way = next_way_to_take(way)) {
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

/* The server was told of it: its accept does not wait for another. */
static void connection_that_is_closed_between_the_wait_and_accept_is_not_handed_out(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        warm(l);
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        MUST(close(servers_end(&c)) == 0);
        is_closed(&c);
        FAILS_WITH(ECONNABORTED, accept(l, NULL, NULL));
        is_exact(&w);
        MUST(close(l) == 0);
    }
}

static const struct test cases[] = {
    CASE(connection_that_is_closed_between_the_wait_and_accept_is_not_handed_out),
    CASE(listener_works_on_after_all_unknown_numbers_were_closed),
    CASE(listener_works_on_after_all_unknown_numbers_were_closed_by_raw_system_calls),
    CASE(numbers_that_somebody_else_uses_now_are_not_closed),
    CASE(new_listener_works_after_everything_was_closed),
    CASE(private_epoll_closed_by_a_raw_system_call_is_made_anew),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
