/* SPDX-License-Identifier: MIT
 *
 * flags.c: the flags that accept4 is given and the socket has, with the header there and late; and errno.
 */
#include "testing.h"

static bool has_flags(int fd, int flags)
{
    return ((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0) == ((flags & SOCK_NONBLOCK) != 0) &&
           ((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) == ((flags & SOCK_CLOEXEC) != 0);
}

static const int flag_sets[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC};
enum { FLAG_SETS = 4 };

static void flags_are_as_asked(void)
{
    for (int i = 0; i < FLAG_SETS; i++) {
        int l = listener_of(INET, flag_sets[i]), fd;
        struct client c;
        for (int asked = 0; asked < FLAG_SETS; asked++) {
            c = introduced(l);
            fd = accept4(l, NULL, NULL, flag_sets[asked]);
            MUST(fd >= 0);
            MUST(has_flags(fd, flag_sets[asked]));
            hang_up(&c, fd);
        }
        c = introduced(l);
        fd = accept(l, NULL, NULL);
        MUST(fd >= 0);
        MUST(has_flags(fd, 0));
        MUST(has_flags(l, flag_sets[i]));
        hang_up(&c, fd);
    }
}

static void flags_are_as_asked_when_the_header_is_late(void)
{
    int l = listener(0);
    for (int asked = 0; asked < FLAG_SETS; asked++) {
        struct latecomer late;
        come_late(&late, l);
        int fd = accept4(l, NULL, NULL, flag_sets[asked]);
        MUST(fd >= 0);
        done(&late.helper);
        MUST(has_flags(fd, flag_sets[asked]));
        MUST(peer_is(fd, &late.client.in));
        hang_up(&late.client, fd);
    }
    MUST(has_flags(l, 0));
}

static void parked_and_handed_over(int l, int parking, int asked)
{
    struct client waiting = dial(l), live = introduced(l);
    int fd = accept4(l, NULL, NULL, parking);
    MUST(fd >= 0);
    MUST(peer_is(fd, &live.in));
    hang_up(&live, fd);
    introduce(&waiting);
    fd = accept4(l, NULL, NULL, asked);
    MUST(fd >= 0);
    MUST(has_flags(fd, asked));
    MUST(peer_is(fd, &waiting.in));
    hang_up(&waiting, fd);
}

static void flags_are_those_of_the_call_that_hands_over(void)
{
    int l = listener(0);
    for (int parking = 0; parking < FLAG_SETS; parking++)
        for (int asked = 0; asked < FLAG_SETS; asked++)
            parked_and_handed_over(l, flag_sets[parking], flag_sets[asked]);
}

static void unknown_flags_are_einval_and_cost_no_client(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    FAILS_WITH(EINVAL, accept4(l, NULL, NULL, 0x4));
    accepts(l, &c);
}

static void nothing_to_accept_is_eagain(void)
{
    int l = listener_of(INET, SOCK_NONBLOCK);
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    FAILS_WITH(EAGAIN, accept4(l, NULL, NULL, SOCK_CLOEXEC));
    struct client c = introduced(l);
    accepts(l, &c);
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
}

static void low_water_mark_is_one_after_a_late_header(void)
{
    int l = listener(0), mark = 0;
    socklen_t length = sizeof mark;
    struct latecomer late;
    come_late(&late, l);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    done(&late.helper);
    MUST(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, &length) == 0 && mark == 1);
    MUST(works(fd, &late.client));
}

static void success_leaves_errno_alone(void)
{
    int l = listener(0);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    struct client c = introduced(l);
    errno = EXDEV;
    int fd = accept(l, (struct sockaddr *)&address, &length);
    MUST(fd >= 0 && errno == EXDEV);
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0 && errno == EXDEV);
    hang_up(&c, fd);
    struct latecomer late;
    come_late(&late, l);
    errno = EXDEV;
    fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    int after = errno;
    done(&late.helper);
    MUST(fd >= 0 && after == EXDEV);
    errno = EXDEV;
    MUST(getpeername(l, (struct sockaddr *)&address, &length) == -1 && errno == ENOTCONN);
    errno = EXDEV;
    MUST(close(fd) == 0 && errno == EXDEV);
    MUST(close(l) == 0 && errno == EXDEV);
    MUST((l = listener(0)) >= 0 && listen(l, 5) == 0 && errno == EXDEV);
}

static const struct test cases[] = {
    CASE(flags_are_as_asked),
    CASE(flags_are_as_asked_when_the_header_is_late),
    CASE_OF_HEADERS(flags_are_those_of_the_call_that_hands_over),
    CASE(unknown_flags_are_einval_and_cost_no_client),
    CASE(nothing_to_accept_is_eagain),
    CASE(low_water_mark_is_one_after_a_late_header),
    CASE(success_leaves_errno_alone),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
