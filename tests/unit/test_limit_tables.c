/* SPDX-License-Identifier: MIT
 *
 * test_limit_tables.c: the accounts of clients that processes share: buckets and open connections.
 */
#include "../../shim/conn/limit_ask.h"
#include "../../shim/conn/limit_open.h"
#include "../../shim/conn/limit_rate.h"
#include "suites.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ppshim/conn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define NOW (1000 * SECOND)
#define PROCESSES 8

static void *shared(size_t size)
{
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    return map;
}

/* Runs `work` in so many processes at once; the sum of what they return. */
static int sum_of_processes(int (*work)(int number))
{
    int ends[2], sum = 0;
    char begin[PROCESSES];
    ck_assert_int_eq(pipe(ends), 0);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            _exit(read(ends[0], begin, 1) == 1 ? work(i) : 100);
    ck_assert_int_eq(write(ends[1], begin, PROCESSES), PROCESSES);
    for (int i = 0, status; i < PROCESSES; i++) {
        ck_assert_int_gt(wait(&status), 0);
        ck_assert(WIFEXITED(status));
        sum += WEXITSTATUS(status);
    }
    close(ends[0]);
    close(ends[1]);
    return sum;
}

/* --- buckets --- */

static struct pps_rate_set *set;
static struct pps_limit limit;
static bool forgot;

static void one_set(void)
{
    set = shared(sizeof *set);
    limit = (struct pps_limit){.count = 5, .window = 10 * SECOND};
    forgot = false;
}

static unsigned taken(uint64_t client, uint64_t now, unsigned tries)
{
    unsigned n = 0;
    while (tries--)
        n += pps_rate_take(set, 1, &limit, client, now, &forgot);
    return n;
}

START_TEST(each_client_has_a_bucket_of_its_own)
{
    for (uint64_t client = 1; client <= PPS_LIMIT_WAYS; client++)
        ck_assert_uint_eq(taken(client, NOW, 10), 5);
    for (uint64_t client = 1; client <= PPS_LIMIT_WAYS; client++)
        ck_assert_uint_eq(taken(client, NOW, 10), 0);
    ck_assert(!forgot);
}
END_TEST

START_TEST(one_whose_bucket_is_full_again_gives_way_in_silence)
{
    for (uint64_t client = 1; client <= PPS_LIMIT_WAYS; client++)
        taken(client, client == 7 ? NOW - 11 * SECOND : NOW, 5);
    ck_assert_uint_eq(taken(99, NOW, 10), 5);
    ck_assert(!forgot);
    for (uint64_t client = 1; client <= PPS_LIMIT_WAYS; client++)
        ck_assert(client == 7 || taken(client, NOW, 10) == 0);
}
END_TEST

START_TEST(in_a_full_set_the_one_that_misses_the_least_is_forgotten_and_that_is_told)
{
    for (uint64_t client = 1; client <= PPS_LIMIT_WAYS; client++)
        taken(client, NOW, client == 7 ? 1 : 2);
    ck_assert_uint_eq(taken(99, NOW, 10), 5);
    ck_assert(forgot);
    for (uint64_t client = 1; client <= PPS_LIMIT_WAYS; client++)
        ck_assert(client == 7 || taken(client, NOW, 10) == 3);
}
END_TEST

/* The four bits of the mark that tell two owners of one place apart: here they are the same, and then others. */
START_TEST(who_comes_after_a_forgotten_one_begins_with_a_full_bucket)
{
    for (uint64_t client = 1; client <= PPS_LIMIT_WAYS; client++)
        taken(client, NOW, 5);
    ck_assert_uint_eq(taken(99, NOW, 10), 5);
    ck_assert_uint_eq(taken(98 | UINT64_C(5) << 60, NOW, 10), 5);
}
END_TEST

static int take_many(int number)
{
    (void)number;
    return (int)taken(1, NOW, 1000);
}

START_TEST(processes_share_a_bucket_to_the_token)
{
    limit.count = 90;
    ck_assert_int_eq(sum_of_processes(take_many), 90);
}
END_TEST

static int take_in_a_crowd(int number)
{
    for (uint64_t i = 0; i < 20000; i++)
        taken(1000 + (uint64_t)number * 100 + i % 40, NOW, 1);
    return 0;
}

/* Sixty clients and more for sixteen places. */
START_TEST(a_client_that_comes_the_first_time_is_let_in_whatever_goes_on)
{
    ck_assert_int_eq(sum_of_processes(take_in_a_crowd), 0);
    for (uint64_t client = 1; client < 1000; client++)
        ck_assert_uint_eq(taken(client, NOW, 1), 1);
}
END_TEST

/* --- open connections --- */

#define MOST 4

static struct pps_open_table table;
static int listener;

struct connection {
    int client, server;
    struct pps_asked asked;
};

static void one_set_of_slots(void)
{
    struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    table = (struct pps_open_table){.sets = shared(sizeof *table.sets),
                                    .slots = shared(PPS_LIMIT_WAYS * MOST * sizeof *table.slots),
                                    .count = 1,
                                    .most = MOST};
    forgot = false;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&loopback, sizeof loopback), 0);
    ck_assert_int_eq(listen(listener, 100), 0);
}

static void close_listener(void)
{
    close(listener);
}

static struct pps_addr name_of(int fd)
{
    struct pps_addr a;
    struct sockaddr_storage ss;
    socklen_t length = sizeof ss;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &length), 0);
    ck_assert(pps_addr_from_sockaddr(&a, (struct sockaddr *)&ss, length));
    return a;
}

static struct connection connection(void)
{
    struct connection c = {.client = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_storage ss;
    socklen_t length = sizeof ss;
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&ss, &length), 0);
    ck_assert_int_eq(connect(c.client, (struct sockaddr *)&ss, length), 0);
    c.server = accept(listener, NULL, NULL);
    ck_assert_int_ge(c.server, 0);
    c.asked.peer = name_of(c.client);
    c.asked.local = name_of(c.server);
    length = sizeof c.asked.cookie;
    ck_assert_int_eq(getsockopt(c.server, SOL_SOCKET, SO_COOKIE, &c.asked.cookie, &length), 0);
    return c;
}

static void end(struct connection *c)
{
    close(c->client);
    close(c->server);
}

START_TEST(a_connection_is_told_by_the_number_that_processes_hold_it_by)
{
    struct connection c = connection();
    struct stat held;
    struct pps_asker asker;
    c.asked.cookie = PPS_ASK_ANY_COOKIE;
    ck_assert_int_eq(fstat(c.server, &held), 0);
    pps_ask_begin(&asker);
    ck_assert_uint_eq(pps_ask_inode(&asker, &c.asked), held.st_ino);
    close(c.server);
    ck_assert_uint_eq(pps_ask_inode(&asker, &c.asked), 0);
    pps_ask_end(&asker);
    close(c.client);
}
END_TEST

static enum pps_open open_one(uint64_t client, const struct connection *c)
{
    return pps_open_take(&table, client, &c->asked, NOW, &forgot);
}

START_TEST(a_client_has_as_many_open_as_it_may_and_a_closed_one_makes_room)
{
    struct connection c[MOST], more = connection();
    for (int i = 0; i < MOST; i++) {
        c[i] = connection();
        ck_assert_int_eq(open_one(1, &c[i]), PPS_OPEN_TAKEN);
    }
    ck_assert_int_eq(open_one(1, &more), PPS_OPEN_FULL);
    ck_assert_int_eq(open_one(2, &more), PPS_OPEN_TAKEN);
    close(c[_i].server);
    ck_assert_int_eq(open_one(1, &more), PPS_OPEN_TAKEN);
    struct connection again = connection();
    ck_assert_int_eq(open_one(1, &again), PPS_OPEN_FULL);
    close(c[_i].client);
    for (int i = 0; i < MOST; i++)
        if (i != _i)
            end(&c[i]);
    end(&more);
    end(&again);
    ck_assert(!forgot);
}
END_TEST

static void shut(struct connection *c)
{
    shutdown(c->server, SHUT_WR);
}

static void leave(struct connection *c)
{
    shutdown(c->client, SHUT_RDWR);
}

static void copy_and_close(struct connection *c)
{
    int copy = dup(c->server);
    close(c->server);
    c->server = copy;
}

static void reset_by_peer(struct connection *c)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(c->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->client);
    c->client = dup(listener);
    char byte;
    ck_assert_int_eq(recv(c->server, &byte, 1, 0), -1); /* it has come */
}

static void close_both(struct connection *c)
{
    close(c->server);
    c->server = dup(listener);
}

static const struct {
    void (*happens)(struct connection *c);
    enum pps_open then;
} endings[] = {{shut, PPS_OPEN_FULL},
               {leave, PPS_OPEN_FULL},
               {copy_and_close, PPS_OPEN_FULL},
               {reset_by_peer, PPS_OPEN_TAKEN},
               {close_both, PPS_OPEN_TAKEN}};

START_TEST(open_is_what_the_server_has_a_descriptor_of_and_was_not_reset)
{
    struct connection first = connection(), second = connection();
    table.most = 1;
    ck_assert_int_eq(open_one(1, &first), PPS_OPEN_TAKEN);
    ck_assert_int_eq(open_one(1, &second), PPS_OPEN_FULL);
    endings[_i].happens(&first);
    ck_assert_int_eq(open_one(1, &second), endings[_i].then);
    end(&first);
    end(&second);
}
END_TEST

START_TEST(connections_of_unix_sockets_are_asked_after_by_their_inode)
{
    int pair[2];
    struct connection c = connection();
    socklen_t length = sizeof c.asked.cookie;
    table.most = 1;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct connection local = {.asked.inode = pps_conn_inode(pair[0])};
    ck_assert_int_eq(getsockopt(pair[0], SOL_SOCKET, SO_COOKIE, &local.asked.cookie, &length), 0);
    ck_assert_int_eq(open_one(1, &local), PPS_OPEN_TAKEN);
    ck_assert_int_eq(open_one(1, &c), PPS_OPEN_FULL);
    close(pair[1]);
    ck_assert_int_eq(open_one(1, &c), PPS_OPEN_FULL);
    close(pair[0]);
    ck_assert_int_eq(open_one(1, &c), PPS_OPEN_TAKEN);
    end(&c);
}
END_TEST

/* As a process leaves it that is killed at the worst moment. */
START_TEST(a_slot_whose_writer_was_killed_is_taken_over_after_a_second)
{
    struct connection c = connection();
    table.most = 1;
    ck_assert_int_eq(open_one(1, &c), PPS_OPEN_TAKEN);
    int way = pps_limit_enter(table.sets->client, 1);
    atomic_store(&table.slots[way].cookie, UINT64_C(1) << 63 | NOW / 1000000);
    ck_assert_int_eq(open_one(1, &c), PPS_OPEN_FULL);
    ck_assert_int_eq(pps_open_take(&table, 1, &c.asked, NOW + SECOND, &forgot), PPS_OPEN_FULL);
    ck_assert_int_eq(pps_open_take(&table, 1, &c.asked, NOW + SECOND + SECOND / 500, &forgot), PPS_OPEN_TAKEN);
    end(&c);
}
END_TEST

START_TEST(in_a_full_set_who_has_nothing_open_gives_way_in_silence)
{
    struct connection c[PPS_LIMIT_WAYS], more = connection();
    table.most = 1;
    for (int i = 0; i < PPS_LIMIT_WAYS; i++) {
        c[i] = connection();
        ck_assert_int_eq(open_one(1 + (uint64_t)i, &c[i]), PPS_OPEN_TAKEN);
    }
    close(c[2].server);
    ck_assert_int_eq(open_one(99, &more), PPS_OPEN_TAKEN);
    ck_assert(!forgot);
    for (int i = 0; i < PPS_LIMIT_WAYS; i++)
        if (i != 2)
            ck_assert_int_eq(open_one(1 + (uint64_t)i, &more), PPS_OPEN_FULL);
    ck_assert_int_eq(open_one(99, &c[0]), PPS_OPEN_FULL);
}
END_TEST

START_TEST(in_a_set_full_of_open_ones_the_least_recent_is_forgotten_and_that_is_told)
{
    struct connection c[PPS_LIMIT_WAYS], more = connection();
    table.most = 1;
    for (int i = 0; i < PPS_LIMIT_WAYS; i++) {
        c[i] = connection();
        uint64_t now = NOW + (i == 7 ? 0 : 1) * SECOND;
        ck_assert_int_eq(pps_open_take(&table, 1 + (uint64_t)i, &c[i].asked, now, &forgot), PPS_OPEN_TAKEN);
    }
    ck_assert_int_eq(pps_open_take(&table, 99, &more.asked, NOW + 2 * SECOND, &forgot), PPS_OPEN_TAKEN);
    ck_assert(forgot);
    for (int i = 0; i < PPS_LIMIT_WAYS; i++)
        if (i != 7)
            ck_assert_int_eq(open_one(1 + (uint64_t)i, &more), PPS_OPEN_FULL);
    ck_assert_int_eq(open_one(99, &c[0]), PPS_OPEN_FULL);
}
END_TEST

static struct connection many[PROCESSES][8];

static int open_eight(int number)
{
    int n = 0;
    for (int i = 0; i < 8; i++)
        n += open_one(1, &many[number][i]) == PPS_OPEN_TAKEN;
    return n;
}

START_TEST(processes_share_the_slots_of_a_client_to_the_connection)
{
    for (int i = 0; i < PROCESSES * 8; i++)
        many[i / 8][i % 8] = connection();
    ck_assert_int_eq(sum_of_processes(open_eight), MOST);
    for (int i = 0; i < PROCESSES * 8; i++)
        end(&many[i / 8][i % 8]);
    ck_assert(!forgot);
}
END_TEST

/* A netlink socket needs a descriptor like any other. */
START_TEST(what_cannot_be_asked_after_is_not_taken_for_ended)
{
    struct connection first = connection(), second = connection();
    int last;
    table.most = 1;
    ck_assert_int_eq(open_one(1, &first), PPS_OPEN_TAKEN);
    while ((last = dup(listener)) >= 0)
        ;
    enum pps_open open = open_one(1, &second);
    int error = errno;
    ck_assert_int_eq(close_range(second.server + 1, ~0u, 0), 0);
    ck_assert_int_eq(open, PPS_OPEN_UNKNOWN);
    ck_assert_int_eq(error, EMFILE);
    end(&first);
    end(&second);
}
END_TEST

Suite *suite_limit_tables(void)
{
    Suite *s = suite_create("limit_tables");
    TCase *rate = tcase_create("rate"), *open = tcase_create("open");
    suite_add_tcase(s, rate);
    suite_add_tcase(s, open);
    tcase_add_checked_fixture(rate, one_set, NULL);
    tcase_add_test(rate, each_client_has_a_bucket_of_its_own);
    tcase_add_test(rate, one_whose_bucket_is_full_again_gives_way_in_silence);
    tcase_add_test(rate, in_a_full_set_the_one_that_misses_the_least_is_forgotten_and_that_is_told);
    tcase_add_test(rate, who_comes_after_a_forgotten_one_begins_with_a_full_bucket);
    tcase_add_test(rate, processes_share_a_bucket_to_the_token);
    tcase_add_test(rate, a_client_that_comes_the_first_time_is_let_in_whatever_goes_on);
    tcase_add_checked_fixture(open, one_set_of_slots, close_listener);
    tcase_add_loop_test(open, a_client_has_as_many_open_as_it_may_and_a_closed_one_makes_room, 0, MOST);
    tcase_add_loop_test(open, open_is_what_the_server_has_a_descriptor_of_and_was_not_reset, 0,
                        sizeof endings / sizeof *endings);
    tcase_add_test(open, a_connection_is_told_by_the_number_that_processes_hold_it_by);
    tcase_add_test(open, connections_of_unix_sockets_are_asked_after_by_their_inode);
    tcase_add_test(open, a_slot_whose_writer_was_killed_is_taken_over_after_a_second);
    tcase_add_test(open, in_a_full_set_who_has_nothing_open_gives_way_in_silence);
    tcase_add_test(open, in_a_set_full_of_open_ones_the_least_recent_is_forgotten_and_that_is_told);
    tcase_add_test(open, processes_share_the_slots_of_a_client_to_the_connection);
    tcase_add_test(open, what_cannot_be_asked_after_is_not_taken_for_ended);
    return s;
}
