/* SPDX-License-Identifier: MIT
 *
 * select.c: what only select does: it writes back the time that is left, and cannot name high descriptors.
 */
#include "testing.h"

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

static void note_highest(int fd, const char *what, void *highest)
{
    (void)what;
    *(int *)highest = fd > *(int *)highest ? fd : *(int *)highest;
}

static int highest_of_ours(void)
{
    int highest = -1;
    descriptors(note_highest, &highest);
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
    for (enum way way = POLL; way < WAYS; way++) {
        if (!is_select(way))
            continue;
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

enum { MANY = 2048 }; /* descriptors asked about: more than an fd_set holds */

static int selected_among_many(int fd, struct timeval *t)
{
    static unsigned long set[MANY / (8 * sizeof(long))];
    memset(set, 0, sizeof set);
    set[(size_t)fd / (8 * sizeof(long))] |= 1UL << ((size_t)fd % (8 * sizeof(long)));
    return select(MANY, (fd_set *)set, NULL, NULL, t);
}

static void leave_rubbish_on_the_stack(void)
{
    volatile char rubbish[4096];
    memset((void *)rubbish, 0x5A, sizeof rubbish);
}

static void let_no_descriptor_be_opened(void)
{
    struct rlimit numbers;
    int lowest = open("/dev/null", O_RDONLY);
    MUST(lowest >= 0 && syscall(SYS_close, lowest) == 0 && getrlimit(RLIMIT_NOFILE, &numbers) == 0);
    numbers.rlim_cur = (rlim_t)lowest;
    IS(0, setrlimit(RLIMIT_NOFILE, &numbers));
    FAILS_WITH(EMFILE, open("/dev/null", O_RDONLY));
}

static void select_writes_back_the_time_that_is_left_also_without_a_descriptor_to_spare(void)
{
    int quiet = listener(0), called = listener(0);
    struct client c = introduced(called);
    let_no_descriptor_be_opened();
    struct timeval t = {.tv_usec = MOMENT * 1000};
    leave_rubbish_on_the_stack();
    errno = ENOTTY;
    IS(0, selected_among_many(quiet, &t));
    IS(ENOTTY, errno);
    MUST(t.tv_sec == 0 && t.tv_usec == 0);
    t = (struct timeval){.tv_sec = 1000};
    leave_rubbish_on_the_stack();
    IS(1, selected_among_many(called, &t));
    IS(ENOTTY, errno);
    MUST((t.tv_sec < 1000 || t.tv_usec == 0) && t.tv_sec <= 1000 && t.tv_sec > 0);
    MUST(t.tv_usec >= 0 && t.tv_usec < 1000000);
    MUST(close(c.fd) == 0);
}

static const struct test cases[] = {
    CASE(select_writes_back_the_time_that_is_left),
    CASE(select_works_with_waiting_peers_above_its_sets),
    CASE(select_writes_back_the_time_that_is_left_also_without_a_descriptor_to_spare),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
