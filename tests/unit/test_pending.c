/* SPDX-License-Identifier: MIT
 *
 * test_pending.c: connections that wait for their header, on real TCP connections over loopback (pending.h).
 *
 * No test waits for a time to pass: connections arrive as long ago as a test needs. Headers are of those that name no
 * client, so that no list has a say.
 */
#include "forked.h"
#include "suites.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <ppshim/deadline.h>
#include <ppshim/pending.h>
#include <ppshim/sockopt.h>
#include <ppshim/trust.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MOST 8
#define FLAGS SOCK_NONBLOCK
#define LONG_AGO 1
#define HEADER "PROXY UNKNOWN\r\n"
#define HALF "PROXY UNK"

static struct pps_config config;
static struct pps_pending pending;

static int listener_fd;
static int clients[2 * MOST], clients_count;

/* What pps_pending_next said. */
static struct pps_conn out;
static int flags;
static enum pps_reason reason;

static void open_both(struct pps_pending *p)
{
    p->epoll = epoll_create1(EPOLL_CLOEXEC) + 1;
    p->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK) + 1;
    ck_assert(p->epoll && p->timer);
    ck_assert(pps_pending_begin(p, &config));
}

static void close_both(struct pps_pending *p)
{
    close(p->epoll - 1);
    close(p->timer - 1);
    p->epoll = p->timer = 0;
}

static void setup(void)
{
    char error[PPS_ERROR_TEXT];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    forked_start();
    memset(&config, 0, sizeof config);
    config.timeout_ms = 60000;
    config.version_accepted[1] = config.version_accepted[2] = true;
    config.max_pending = MOST;
    config.trust = "127.0.0.1";
    ck_assert(pps_trust_load(&config, error));
    ck_assert_uint_eq(pps_pending_limit(&config), MOST);
    memset(&pending, 0, sizeof pending);
    open_both(&pending);
    clients_count = 0;
    listener_fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener_fd, (struct sockaddr *)&here, sizeof here), 0);
    ck_assert_int_eq(listen(listener_fd, 64), 0);
}

static void teardown(void)
{
    while (pps_pending_take_oldest(&pending, &out))
        close(out.fd);
    close_both(&pending);
    close(listener_fd);
    while (clients_count)
        close(clients[--clients_count]);
}

static struct pps_conn new_conn(uint64_t arrived)
{
    struct sockaddr_in at;
    struct pps_conn c = {.origin.lowat = 1, .trust = PPS_TRUSTED, .arrived = arrived, .need = 1};
    socklen_t length = sizeof at;
    int client = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(getsockname(listener_fd, (struct sockaddr *)&at, &length), 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&at, sizeof at), 0);
    clients[clients_count++] = client;
    c.origin.port = ntohs(at.sin_port);
    c.peer_raw_len = sizeof c.peer_raw;
    c.fd = accept(listener_fd, (struct sockaddr *)&c.peer_raw, &c.peer_raw_len);
    ck_assert_int_ge(c.fd, 0);
    ck_assert(pps_addr_from_sockaddr(&c.peer, (struct sockaddr *)&c.peer_raw, c.peer_raw_len));
    return c;
}

/* Returns its descriptor; its client is the last of clients. */
static int put(uint64_t arrived)
{
    struct pps_conn c = new_conn(arrived);
    ck_assert(pps_pending_put(&pending, &config, &c, FLAGS));
    return c.fd;
}

/* From the client of the last. */
static void say(const void *bytes, size_t length)
{
    ck_assert_int_eq(send(clients[clients_count - 1], bytes, length, 0), (ssize_t)length);
}

static void say_text(const char *text)
{
    say(text, strlen(text));
}

static void wait_for_event(const struct pps_pending *p)
{
    struct pollfd e = {.fd = p->epoll - 1, .events = POLLIN};
    ck_assert_int_eq(poll(&e, 1, -1), 1);
}

static void wait_for_bytes(int fd, int count)
{
    int have = 0;
    while (ioctl(fd, FIONREAD, &have) == 0 && have < count)
        sched_yield();
}

static bool is_quiet(const struct pps_pending *p)
{
    struct pollfd e = {.fd = p->epoll - 1, .events = POLLIN};
    return poll(&e, 1, 0) == 0;
}

static enum pps_pending_event next(void)
{
    return pps_pending_next(&pending, &config, &out, &flags, &reason);
}

static enum pps_pending_event next_when_told(void)
{
    wait_for_event(&pending);
    return next();
}

/* --- a header, whole or in parts --- */

START_TEST(a_silent_one_stays)
{
    put(pps_now());
    ck_assert_int_eq(next(), PPS_PENDING_NOTHING);
    ck_assert(is_quiet(&pending));
    ck_assert_uint_eq(pending.count, 1);
}
END_TEST

START_TEST(one_whose_header_comes_is_ready_and_the_header_gone)
{
    char rest[32];
    int fd = put(pps_now());
    say_text(HEADER "hello");
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    ck_assert_int_eq(out.fd, fd);
    ck_assert_int_eq(flags, FLAGS);
    ck_assert_uint_eq(pending.count, 0);
    wait_for_bytes(fd, 5);
    ck_assert_int_eq(recv(fd, rest, sizeof rest, MSG_DONTWAIT), 5);
    ck_assert_mem_eq(rest, "hello", 5);
    ck_assert_int_eq(next(), PPS_PENDING_NOTHING);
    close(fd);
}
END_TEST

START_TEST(what_one_that_left_hears_then_wakes_nobody)
{
    int ready = put(pps_now());
    say_text(HEADER);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    say_text("hello");
    wait_for_bytes(ready, 5);
    int taken = put(pps_now());
    ck_assert(pps_pending_take(taken, &out));
    say_text("hello");
    wait_for_bytes(taken, 5);
    ck_assert(is_quiet(&pending));
    close(ready);
    close(taken);
}
END_TEST

START_TEST(a_part_of_a_header_is_waited_on_without_an_event)
{
    static const uint8_t local[16] = "\r\n\r\n\0\r\nQUIT\n\x20";
    int fd = put(pps_now());
    say(local, 5);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_NOTHING);
    ck_assert_int_eq(pps_sockopt(fd, SOL_SOCKET, SO_RCVLOWAT), 16);
    say(local + 5, 5);
    wait_for_bytes(fd, 10);
    ck_assert(is_quiet(&pending));
    say(local + 10, 6);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    ck_assert_int_eq(pps_sockopt(fd, SOL_SOCKET, SO_RCVLOWAT), 1);
    close(fd);
}
END_TEST

START_TEST(what_can_begin_no_header_is_gone)
{
    int fd = put(pps_now());
    say_text("GET / HTTP/1.1\r\n");
    ck_assert_int_eq(next_when_told(), PPS_PENDING_GONE);
    ck_assert_int_eq(out.fd, fd);
    ck_assert_int_eq(reason, PPS_REASON_NOT_A_HEADER);
    close(fd);
}
END_TEST

START_TEST(where_a_header_is_optional_other_bytes_are_left_alone)
{
    char bytes[8];
    struct pps_conn c = new_conn(pps_now());
    c.trust = PPS_OPTIONAL;
    ck_assert(pps_pending_put(&pending, &config, &c, 0));
    say_text("GET");
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    ck_assert_int_eq(recv(c.fd, bytes, sizeof bytes, MSG_DONTWAIT), 3);
    close(c.fd);
}
END_TEST

START_TEST(a_peer_that_leaves_without_a_byte_is_gone_without_a_reason)
{
    put(pps_now());
    close(clients[--clients_count]);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_GONE);
    ck_assert_int_eq(reason, PPS_REASON_NONE);
    close(out.fd);
}
END_TEST

START_TEST(a_peer_that_leaves_inside_its_header_is_gone_with_one)
{
    put(pps_now());
    say_text(HALF);
    close(clients[--clients_count]);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_GONE);
    ck_assert_int_eq(reason, PPS_REASON_PEER_LEFT);
    close(out.fd);
}
END_TEST

START_TEST(a_peer_that_leaves_after_its_header_is_ready)
{
    put(pps_now());
    say_text(HEADER);
    close(clients[--clients_count]);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    close(out.fd);
}
END_TEST

START_TEST(one_leaves_at_a_time)
{
    int first = put(pps_now());
    say_text(HEADER);
    wait_for_event(&pending);
    int second = put(pps_now());
    say_text(HEADER);
    wait_for_bytes(second, 1);
    ck_assert_int_eq(next(), PPS_PENDING_READY);
    ck_assert_int_eq(out.fd, first);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    ck_assert_int_eq(out.fd, second);
    close(first);
    close(second);
}
END_TEST

static int bytes_at(int fd)
{
    int have = 0;
    ck_assert_int_eq(ioctl(fd, FIONREAD, &have), 0);
    return have;
}

START_TEST(one_whose_epoll_is_somebody_elses_waits_for_a_new_one)
{
    int fd = put(pps_now()), server = epoll_create1(EPOLL_CLOEXEC);
    say_text(HEADER);
    wait_for_bytes(fd, (int)strlen(HEADER));
    ck_assert_int_eq(dup2(server, pending.epoll - 1), pending.epoll - 1);
    close(server);
    ck_assert_int_eq(next(), PPS_PENDING_NOTHING);
    ck_assert_uint_eq(pending.count, 1);
    ck_assert_int_eq(bytes_at(fd), (int)strlen(HEADER));
    ck_assert(pps_pending_begin(&pending, &config));
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    close(fd);
}
END_TEST

START_TEST(one_whose_number_is_somebody_elses_is_not_read)
{
    int fd = put(pps_now());
    struct pps_conn other = new_conn(pps_now());
    say_text(HEADER);
    wait_for_bytes(other.fd, (int)strlen(HEADER));
    ck_assert_int_eq(dup2(other.fd, fd), fd);
    ck_assert_int_eq(next(), PPS_PENDING_NOTHING);
    ck_assert_int_eq(bytes_at(fd), (int)strlen(HEADER));
    ck_assert(pps_pending_take(fd, &out));
    close(fd);
    close(other.fd);
}
END_TEST

START_TEST(each_listener_has_its_own)
{
    struct pps_pending other = {0};
    open_both(&other);
    put(pps_now());
    say_text(HEADER);
    wait_for_event(&pending);
    ck_assert(is_quiet(&other));
    ck_assert_int_eq(pps_pending_next(&other, &config, &out, &flags, &reason), PPS_PENDING_NOTHING);
    ck_assert(!pps_pending_take_oldest(&other, &out));
    ck_assert_int_eq(next(), PPS_PENDING_READY);
    close(out.fd);
    close_both(&other);
}
END_TEST

/* --- time --- */

START_TEST(one_whose_time_is_over_is_gone)
{
    put(LONG_AGO);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_GONE);
    ck_assert_int_eq(reason, PPS_REASON_TIMEOUT);
    close(out.fd);
}
END_TEST

START_TEST(a_header_that_is_there_wins_over_the_time)
{
    struct pps_conn c = new_conn(LONG_AGO);
    say_text(HEADER);
    wait_for_bytes(c.fd, (int)strlen(HEADER));
    ck_assert(pps_pending_put(&pending, &config, &c, 0));
    ck_assert_int_eq(pps_pending_overdue(&pending, &config, &out, &flags, &reason), PPS_PENDING_READY);
    close(out.fd);
}
END_TEST

START_TEST(where_a_header_is_optional_silence_is_an_answer)
{
    struct pps_conn c = new_conn(LONG_AGO);
    c.trust = PPS_OPTIONAL;
    ck_assert(pps_pending_put(&pending, &config, &c, 0));
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    close(out.fd);
}
END_TEST

START_TEST(only_the_time_of_the_oldest_is_over)
{
    uint64_t now = pps_now();
    int young = put(now), old = put(LONG_AGO);
    ck_assert_uint_eq(pps_pending_deadline(&pending, &config), LONG_AGO + pps_config_timeout(&config));
    ck_assert_int_eq(next_when_told(), PPS_PENDING_GONE);
    ck_assert_int_eq(out.fd, old);
    ck_assert_int_eq(next(), PPS_PENDING_NOTHING);
    ck_assert_uint_eq(pps_pending_deadline(&pending, &config), now + pps_config_timeout(&config));
    ck_assert_int_eq(pps_pending_overdue(&pending, &config, &out, &flags, &reason), PPS_PENDING_NOTHING);
    ck_assert(is_quiet(&pending));
    close(old);
    ck_assert(pps_pending_take(young, &out));
    close(young);
}
END_TEST

START_TEST(they_leave_in_the_order_in_which_they_came)
{
    static const uint64_t arrived[] = {3, 1, 5, 2, 4};
    for (int i = 0; i < 5; i++)
        put(arrived[i]);
    for (uint64_t i = 1; i <= 5; i++) {
        uint64_t timeout = pps_config_timeout(&config);
        ck_assert_uint_eq(pps_pending_deadline(&pending, &config), i + timeout);
        ck_assert_uint_eq(pps_pending_deadline_after(&pending, &config, i + timeout),
                          i < 5 ? i + 1 + timeout : PPS_NEVER);
        ck_assert(pps_pending_take_oldest(&pending, &out));
        ck_assert_uint_eq(out.arrived, i);
        close(out.fd);
    }
    ck_assert(pps_pending_deadline(&pending, &config) == PPS_NEVER);
    ck_assert(!pps_pending_take_oldest(&pending, &out));
}
END_TEST

START_TEST(one_in_the_middle_can_leave)
{
    put(1);
    int middle = put(2);
    put(3);
    ck_assert(pps_pending_take(middle, &out));
    ck_assert_int_eq(out.fd, middle);
    ck_assert(!pps_pending_take(middle, &out));
    close(middle);
    for (uint64_t i = 1; i <= 3; i += 2) {
        ck_assert(pps_pending_take_oldest(&pending, &out));
        ck_assert_uint_eq(out.arrived, i);
        close(out.fd);
    }
    ck_assert_uint_eq(pending.count, 0);
}
END_TEST

START_TEST(hopeless_is_who_has_not_sent_it_in_time_alone)
{
    uint64_t over = 10 + pps_config_timeout(&config);
    struct pps_conn optional = new_conn(5);
    optional.trust = PPS_OPTIONAL;
    ck_assert(pps_pending_put(&pending, &config, &optional, 0));
    int sent = put(6);
    say_text(HEADER);
    wait_for_bytes(sent, 1);
    int silent = put(10);
    put(11);
    ck_assert(!pps_pending_take_hopeless(&pending, &config, over - 1, &out));
    ck_assert(pps_pending_take_hopeless(&pending, &config, over, &out));
    ck_assert_int_eq(out.fd, silent);
    ck_assert(!pps_pending_take_hopeless(&pending, &config, over, &out));
    ck_assert_uint_eq(pending.count, 3);
    close(silent);
}
END_TEST

START_TEST(with_nothing_pending_the_epoll_may_go_in_the_end)
{
    ck_assert_int_eq(next(), PPS_PENDING_NOTHING);
    pps_pending_wake(&pending);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_NOTHING);
    ck_assert(is_quiet(&pending));
    pending.empty_since = LONG_AGO;
    pps_pending_wake(&pending);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_IDLE);
}
END_TEST

START_TEST(with_one_pending_it_may_not)
{
    put(pps_now());
    pending.empty_since = LONG_AGO;
    pps_pending_wake(&pending);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_NOTHING);
    ck_assert(is_quiet(&pending));
}
END_TEST

/* --- room --- */

START_TEST(there_is_room_for_so_many_and_what_left_makes_room)
{
    for (uint64_t i = 0; i < MOST; i++) {
        ck_assert(!pps_pending_is_full());
        put(1 + i);
    }
    ck_assert(pps_pending_is_full());
    struct pps_conn c = new_conn(pps_now());
    ck_assert(!pps_pending_put(&pending, &config, &c, 0));
    ck_assert_uint_eq(pending.count, MOST);
    ck_assert_int_ge(fcntl(c.fd, F_GETFD), 0);
    ck_assert(pps_pending_take_oldest(&pending, &out));
    ck_assert(!pps_pending_is_full());
    ck_assert(pps_pending_put(&pending, &config, &c, 0));
    ck_assert(pps_pending_is_full());
    close(out.fd);
}
END_TEST

START_TEST(room_that_was_made_twice_is_for_two)
{
    int fds[4];
    for (uint64_t i = 0; i < 4; i++)
        fds[i] = put(1 + i);
    for (int i = 1; i < 3; i++) {
        ck_assert(pps_pending_take(fds[i], &out));
        close(fds[i]);
    }
    put(5);
    put(6);
    for (uint64_t arrived = 1; arrived <= 6; arrived += arrived == 1 ? 3 : 1) {
        ck_assert(pps_pending_take_oldest(&pending, &out));
        ck_assert_uint_eq(out.arrived, arrived);
        close(out.fd);
    }
    ck_assert(!pps_pending_take_oldest(&pending, &out));
}
END_TEST

START_TEST(what_cannot_be_watched_stays_the_callers_and_takes_no_room)
{
    struct pps_conn c = new_conn(pps_now()), closed = c;
    closed.fd = -1;
    for (int i = 0; i < 2 * MOST; i++)
        ck_assert(!pps_pending_put(&pending, &config, &closed, 0));
    ck_assert_uint_eq(pending.count, 0);
    ck_assert(!pps_pending_is_full());
    close(c.fd);
}
END_TEST

/* --- an epoll that is ours no more --- */

START_TEST(an_epoll_that_was_closed_is_noticed)
{
    ck_assert(pps_pending_is_intact(&pending));
    close(pending.epoll - 1);
    ck_assert(!pps_pending_is_intact(&pending));
    ck_assert_int_eq(next(), PPS_PENDING_LOST);
    open_both(&pending); /* the timer's number leaks, as in a process whose server closed one of the two */
    ck_assert(pps_pending_is_intact(&pending));
}
END_TEST

START_TEST(an_epoll_of_somebody_else_is_noticed)
{
    int stranger = epoll_create1(0), readable[2];
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0};
    ck_assert_int_eq(pipe(readable), 0);
    ck_assert_int_eq(write(readable[1], "x", 1), 1);
    ck_assert_int_eq(epoll_ctl(stranger, EPOLL_CTL_ADD, readable[0], &e), 0);
    ck_assert_int_eq(dup2(stranger, pending.epoll - 1), pending.epoll - 1);
    ck_assert(!pps_pending_is_intact(&pending));
    ck_assert_int_eq(next(), PPS_PENDING_LOST);
    close(stranger);
    close(readable[0]);
    close(readable[1]);
}
END_TEST

START_TEST(without_an_epoll_it_is_not_intact)
{
    struct pps_pending none = {0};
    ck_assert(!pps_pending_is_intact(&none));
}
END_TEST

START_TEST(a_new_epoll_watches_all_there_are)
{
    int late = put(pps_now());
    put(LONG_AGO);
    close_both(&pending);
    open_both(&pending);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_GONE);
    close(out.fd);
    send(clients[clients_count - 2], HEADER, strlen(HEADER), 0);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    ck_assert_int_eq(out.fd, late);
    close(late);
}
END_TEST

START_TEST(a_new_epoll_watches_none_whose_number_is_somebody_elses)
{
    int lost = put(pps_now()), reused = put(pps_now()), kept = put(pps_now());
    struct pps_conn other = new_conn(pps_now());
    close_both(&pending);
    close(lost);
    ck_assert_int_eq(dup2(other.fd, reused), reused);
    open_both(&pending);
    ck_assert_uint_eq(pending.count, 1);
    ck_assert(pps_pending_take_oldest(&pending, &out));
    ck_assert_int_eq(out.fd, kept);
    ck_assert(!pps_pending_is_full());
    close(kept);
    close(reused);
    close(other.fd);
}
END_TEST

START_TEST(a_new_timer_goes_by_the_oldest)
{
    int fd = put(LONG_AGO);
    close(pending.timer - 1);
    ck_assert(!pps_pending_is_intact(&pending));
    pending.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK) + 1;
    ck_assert(pps_pending_watch_timer(&pending, &config));
    ck_assert(pps_pending_is_intact(&pending));
    ck_assert_int_eq(next_when_told(), PPS_PENDING_GONE);
    ck_assert_int_eq(out.fd, fd);
    close(fd);
}
END_TEST

/* --- the child of a fork --- */

static int heard_of[2 * MOST], heard;

static void hear(int fd)
{
    heard_of[heard++] = fd;
}

static int first, second;

static bool child_has_none(void)
{
    heard = 0;
    pps_pending_after_fork(true, hear);
    bool both = heard == 2 && heard_of[0] + heard_of[1] == first + second;
    return both && fcntl(first, F_GETFD) < 0 && fcntl(second, F_GETFD) < 0 && !pps_pending_is_full();
}

static bool child_that_reused_one_has_none(void)
{
    heard = 0;
    if (dup2(STDIN_FILENO, second) < 0)
        return false;
    pps_pending_after_fork(false, hear);
    return heard == 1 && heard_of[0] == first && fcntl(first, F_GETFD) < 0 && fcntl(second, F_GETFD) >= 0;
}

START_TEST(a_forked_child_closes_its_copies_and_leaves_the_parents)
{
    first = put(pps_now());
    second = put(pps_now());
    ck_assert(in_raw_child(child_has_none));
    ck_assert(in_raw_child(child_that_reused_one_has_none));
    ck_assert_uint_eq(pending.count, 2);
    say_text(HEADER);
    ck_assert_int_eq(next_when_told(), PPS_PENDING_READY);
    ck_assert_int_eq(out.fd, second);
    close(second);
}
END_TEST

Suite *suite_pending(void)
{
    Suite *s = suite_create("pending");
    TCase *t = tcase_create("pending");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_silent_one_stays);
    tcase_add_test(t, one_whose_header_comes_is_ready_and_the_header_gone);
    tcase_add_test(t, what_one_that_left_hears_then_wakes_nobody);
    tcase_add_test(t, a_part_of_a_header_is_waited_on_without_an_event);
    tcase_add_test(t, what_can_begin_no_header_is_gone);
    tcase_add_test(t, where_a_header_is_optional_other_bytes_are_left_alone);
    tcase_add_test(t, a_peer_that_leaves_without_a_byte_is_gone_without_a_reason);
    tcase_add_test(t, a_peer_that_leaves_inside_its_header_is_gone_with_one);
    tcase_add_test(t, a_peer_that_leaves_after_its_header_is_ready);
    tcase_add_test(t, one_leaves_at_a_time);
    tcase_add_test(t, one_whose_epoll_is_somebody_elses_waits_for_a_new_one);
    tcase_add_test(t, one_whose_number_is_somebody_elses_is_not_read);
    tcase_add_test(t, each_listener_has_its_own);
    tcase_add_test(t, one_whose_time_is_over_is_gone);
    tcase_add_test(t, a_header_that_is_there_wins_over_the_time);
    tcase_add_test(t, where_a_header_is_optional_silence_is_an_answer);
    tcase_add_test(t, only_the_time_of_the_oldest_is_over);
    tcase_add_test(t, they_leave_in_the_order_in_which_they_came);
    tcase_add_test(t, one_in_the_middle_can_leave);
    tcase_add_test(t, hopeless_is_who_has_not_sent_it_in_time_alone);
    tcase_add_test(t, with_nothing_pending_the_epoll_may_go_in_the_end);
    tcase_add_test(t, with_one_pending_it_may_not);
    tcase_add_test(t, there_is_room_for_so_many_and_what_left_makes_room);
    tcase_add_test(t, room_that_was_made_twice_is_for_two);
    tcase_add_test(t, what_cannot_be_watched_stays_the_callers_and_takes_no_room);
    tcase_add_test(t, an_epoll_that_was_closed_is_noticed);
    tcase_add_test(t, an_epoll_of_somebody_else_is_noticed);
    tcase_add_test(t, without_an_epoll_it_is_not_intact);
    tcase_add_test(t, a_new_epoll_watches_all_there_are);
    tcase_add_test(t, a_new_epoll_watches_none_whose_number_is_somebody_elses);
    tcase_add_test(t, a_new_timer_goes_by_the_oldest);
    tcase_add_test(t, a_forked_child_closes_its_copies_and_leaves_the_parents);
    suite_add_tcase(s, t);
    return s;
}
