/* SPDX-License-Identifier: MIT
 *
 * test_client.c: clients remembered and recalled, in the table of the process (client.h, client_table.h) and in the
 * socket.
 */
#include "../../shim/preload/client_table.h"
#include "../../shim/preload/open_fds.h"
#include "forked.h"
#include "suites.h"
#include <ppshim/quiet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t balancer_ip[4] = {10, 108, 0, 9};
static struct pps_addr balancer;

static void setup(void)
{
    forked_start();
    balancer = pps_addr_v4(balancer_ip, 4711);
    pps_client_fall_back_on(&pps_client_table);
    pps_client_test_store("table");
    pps_client_table_forget();
}

static void teardown(void)
{
    pps_client_table_forget();
    pps_client_test_store(NULL);
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static struct pps_client client_of(unsigned number)
{
    uint8_t ip[4] = {203, 0, (uint8_t)(number >> 8), (uint8_t)number};
    return (struct pps_client){.has_addr = true, .addr = pps_addr_v4(ip, (uint16_t)number)};
}

static void remember(int fd, unsigned number)
{
    struct pps_client c = client_of(number);
    ck_assert(pps_client_remember(fd, &balancer, &c));
}

static bool knows(int fd, unsigned number)
{
    struct pps_client c, expected = client_of(number);
    return pps_client_recall(fd, &balancer, &c) && c.has_addr && c.addr.port == expected.addr.port &&
           memcmp(c.addr.ip, expected.addr.ip, sizeof c.addr.ip) == 0 && !c.v6only;
}

static bool knows_nobody(int fd)
{
    struct pps_client c;
    return !pps_client_recall(fd, &balancer, &c);
}

/* So many connections that come and go. */
static void pass_by(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int fd = new_socket();
        remember(fd, i);
        ck_assert(knows(fd, i));
        close(fd);
    }
}

START_TEST(what_was_remembered_is_recalled)
{
    int fd = new_socket(), other = new_socket();
    ck_assert(knows_nobody(fd));
    remember(fd, 7);
    ck_assert(knows(fd, 7));
    ck_assert(knows_nobody(other));
    close(fd);
    close(other);
}
END_TEST

START_TEST(the_last_word_counts)
{
    int fd = new_socket();
    struct pps_client none = {.has_addr = false}, out;
    for (unsigned i = 0; i < 1000; i++) {
        remember(fd, i);
        ck_assert(knows(fd, i));
    }
    ck_assert(pps_client_remember(fd, &balancer, &none));
    ck_assert(pps_client_recall(fd, &balancer, &out) && !out.has_addr);
    close(fd);
}
END_TEST

START_TEST(another_peer_on_the_same_socket_is_nobody)
{
    int fd = new_socket();
    struct pps_client c;
    struct pps_addr elsewhere = balancer;
    remember(fd, 7);
    elsewhere.port++;
    ck_assert(!pps_client_recall(fd, &elsewhere, &c));
    elsewhere.port--;
    elsewhere.ip[15]++;
    ck_assert(!pps_client_recall(fd, &elsewhere, &c));
    close(fd);
}
END_TEST

START_TEST(all_numbers_of_a_socket_are_one)
{
    int fd = new_socket(), copy = dup(fd);
    remember(fd, 7);
    ck_assert(knows(copy, 7));
    close(fd);
    ck_assert(knows(copy, 7));
    pass_by(1000);
    ck_assert(knows(copy, 7));
    close(copy);
}
END_TEST

START_TEST(a_reused_number_is_somebody_else)
{
    int fd = new_socket();
    remember(fd, 7);
    close(fd);
    ck_assert_int_eq(new_socket(), fd);
    ck_assert(knows_nobody(fd));
    close(fd);
}
END_TEST

START_TEST(what_is_no_socket_is_nobody)
{
    struct pps_client c = client_of(1);
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert(!pps_client_remember(ends[0], &balancer, &c));
    ck_assert(!pps_client_remember(-1, &balancer, &c));
    remember(ends[0] = new_socket(), 1);
    ck_assert(knows_nobody(ends[1]));
    ck_assert(knows_nobody(-1));
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(memory_follows_the_connections_that_live)
{
    pass_by(20000);
    struct pps_client_table_state few = pps_client_table_look();
    ck_assert_uint_le(few.capacity, 512);
    ck_assert_uint_gt(few.sweeps, 10);
    ck_assert_uint_eq(few.retired, 0);
}
END_TEST

#define CROWD 700

START_TEST(none_that_lives_is_lost_and_the_table_shrinks_again)
{
    static int fds[CROWD];
    for (unsigned i = 0; i < CROWD; i++)
        remember(fds[i] = new_socket(), i);
    pass_by(5000);
    for (unsigned i = 0; i < CROWD; i++)
        ck_assert(knows(fds[i], i));
    struct pps_client_table_state many = pps_client_table_look();
    ck_assert_uint_ge(many.capacity, CROWD);
    ck_assert_uint_le(many.capacity, 16 * CROWD);
    for (unsigned i = 0; i < CROWD; i++)
        close(fds[i]);
    pass_by(20000);
    ck_assert_uint_lt(pps_client_table_look().capacity, CROWD);
}
END_TEST

START_TEST(sweeping_is_spread_over_many_connections)
{
    static int fds[CROWD];
    for (unsigned i = 0; i < CROWD; i++)
        fds[i] = new_socket(); /* nobody's */
    pass_by(10 * CROWD);
    ck_assert_uint_le(pps_client_table_look().sweeps, 100);
    for (unsigned i = 0; i < CROWD; i++)
        close(fds[i]);
}
END_TEST

static unsigned seen[1024];

static void see(int fd, void *arg)
{
    (void)arg;
    seen[fd]++;
}

static void by_proc(void)
{
    ck_assert(pps_open_fds_by_proc(see, NULL));
}

static void by_trying(void)
{
    pps_open_fds_by_trying(see, NULL);
}

START_TEST(open_descriptors_are_found)
{
    struct rlimit before, small;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    small = before;
    small.rlim_cur = 1000;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    int low = new_socket(), high = dup2(low, 999), gone = dup(low);
    close(gone);
    void (*const ways[])(void) = {by_proc, by_trying};
    for (int i = 0; i < 2; i++) {
        memset(seen, 0, sizeof seen);
        ways[i]();
        ck_assert_uint_eq(seen[0] && seen[low] && seen[high], 1);
    }
    memset(seen, 0, sizeof seen);
    by_proc();
    ck_assert_uint_eq(seen[gone], 0);
    close(low);
    close(high);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
}
END_TEST

/* /proc cannot be read then. */
START_TEST(none_that_lives_is_lost_where_no_descriptor_is_left)
{
    struct rlimit before, small;
    static int fds[200];
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    small = before;
    small.rlim_cur = 200;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    unsigned n = 0;
    while ((fds[n] = socket(AF_INET, SOCK_STREAM, 0)) >= 0)
        n++;
    for (unsigned i = 0; i + 1 < n; i++)
        remember(fds[i], i);
    for (unsigned round = 0; round < 2000; round++)
        remember(fds[n - 1], round);
    unsigned swept = pps_client_table_look().sweeps, known = 0;
    for (unsigned i = 0; i + 1 < n; i++)
        known += knows(fds[i], i);
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_gt(n, 100);
    ck_assert_uint_gt(swept, 2);
    ck_assert_uint_eq(known, n - 1);
}
END_TEST

START_TEST(without_memory_it_says_so_and_forgets_nobody)
{
    struct rlimit before, none;
    struct pps_client c = client_of(8);
    unsigned stored = 0;
    int fd = new_socket(), passing;
    bool kept = true;
    remember(fd, 7);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    none = before;
    none.rlim_cur = 1;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
    for (; kept && stored < 10000; stored += kept) {
        kept = (passing = socket(AF_INET, SOCK_STREAM, 0)) >= 0 && pps_client_remember(passing, &balancer, &c);
        close(passing);
    }
    bool known = knows(fd, 7), unknown = knows_nobody(passing = socket(AF_INET, SOCK_STREAM, 0));
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert(!kept && known && unknown);
    ck_assert_uint_ge(stored, 31);
    remember(passing, 9);
    ck_assert(knows(fd, 7) && knows(passing, 9));
    close(fd);
    close(passing);
}
END_TEST

static bool child_works(int fd)
{
    int mine = socket(AF_INET, SOCK_STREAM, 0);
    struct pps_client c = client_of(9);
    bool inherits = knows(fd, 7), adds = pps_client_remember(mine, &balancer, &c) && knows(mine, 9);
    for (unsigned i = 0; i < 300; i++) {
        int passing = socket(AF_INET, SOCK_STREAM, 0);
        adds = adds && pps_client_remember(passing, &balancer, &c);
        close(passing);
    }
    return inherits && adds && knows(fd, 7) && knows(mine, 9);
}

static void child_must_work(int fd)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(child_works(fd) ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

START_TEST(a_forked_child_goes_on_with_its_copy)
{
    int fd = new_socket();
    remember(fd, 7);
    child_must_work(fd);
    ck_assert(knows(fd, 7));
    close(fd);
}
END_TEST

START_TEST(a_vfork_child_changes_nothing)
{
    int fd = new_socket(), status;
    struct pps_client c = client_of(8);
    remember(fd, 7);
    size_t used = pps_client_table_look().used;
    pid_t child = vfork();
    if (child == 0)
        _exit(pps_client_remember(fd, &balancer, &c) ? 1 : 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(pps_client_table_look().used, used);
    ck_assert(knows(fd, 7));
    close(fd);
}
END_TEST

static atomic_bool over;
static atomic_uint wrong;

static void *come_and_go(void *number)
{
    unsigned mine = *(unsigned *)number;
    while (!atomic_load(&over)) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct pps_client c = client_of(mine);
        wrong += fd < 0 || !pps_client_remember(fd, &balancer, &c) || !knows(fd, mine);
        close(fd);
    }
    return NULL;
}

static int watched;

static void *look(void *unused)
{
    while (!atomic_load(&over))
        wrong += !knows(watched, 7);
    return unused;
}

START_TEST(threads_do_not_disturb_each_other)
{
    static unsigned numbers[2] = {1, 2};
    pthread_t threads[4];
    remember(watched = new_socket(), 7);
    over = false;
    wrong = 0;
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, i < 2 ? come_and_go : look, &numbers[i % 2]), 0);
    for (int i = 0; i < 20; i++)
        child_must_work(watched); /* of a moment at which another thread may be half way through anything */
    atomic_store(&over, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_gt(pps_client_table_look().sweeps, 0);
    close(watched);
}
END_TEST

static void both_ends_must_come_back(const uint8_t *ip, const uint8_t *local_ip, bool v6only)
{
    struct pps_client out, c = client_of(7);
    int fd = new_socket();
    c.v6only = v6only;
    c.since = 0x80000001;
    c.has_local = true;
    if (ip)
        c.addr = pps_addr_v6(ip, 7);
    c.local = local_ip ? pps_addr_v6(local_ip, 65535) : pps_addr_v4(balancer_ip, 258);
    ck_assert(pps_client_remember(fd, &balancer, &c));
    ck_assert(pps_client_recall(fd, &balancer, &out));
    ck_assert(out.has_addr && out.has_local && out.v6only == v6only);
    ck_assert_uint_eq(out.since, c.since);
    ck_assert_mem_eq(out.addr.ip, c.addr.ip, 16);
    ck_assert_mem_eq(out.local.ip, c.local.ip, 16);
    ck_assert_uint_eq(out.addr.port, c.addr.port);
    ck_assert_uint_eq(out.local.port, c.local.port);
    close(fd);
}

START_TEST(both_ends_come_back)
{
    static const uint8_t six[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};
    static const char *const stores[] = {"table", NULL};
    for (int i = 0; i < 4; i++) {
        pps_client_test_store(stores[i / 2]);
        both_ends_must_come_back(NULL, NULL, i % 2);
        both_ends_must_come_back(NULL, six, i % 2);
        both_ends_must_come_back(six, NULL, i % 2);
        both_ends_must_come_back(six, six, i % 2);
    }
}
END_TEST

START_TEST(the_socket_itself_is_used_where_the_kernel_lets_us)
{
    int fd = new_socket();
    pps_client_test_store(NULL);
    if (strcmp(pps_client_store(), "socket") == 0) {
        remember(fd, 7);
        ck_assert(knows(fd, 7));
        ck_assert_uint_eq(pps_client_table_look().capacity, 0);
    }
    pps_client_fall_back_on(&pps_client_table);
    pps_client_test_store("table");
    ck_assert_str_eq(pps_client_store(), "table");
    close(fd);
}
END_TEST

Suite *suite_peer(void)
{
    Suite *s = suite_create("peer");
    TCase *t = tcase_create("peer"), *threads = tcase_create("threads");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_set_timeout(threads, 60);
    tcase_add_test(t, what_was_remembered_is_recalled);
    tcase_add_test(t, the_last_word_counts);
    tcase_add_test(t, another_peer_on_the_same_socket_is_nobody);
    tcase_add_test(t, all_numbers_of_a_socket_are_one);
    tcase_add_test(t, a_reused_number_is_somebody_else);
    tcase_add_test(t, what_is_no_socket_is_nobody);
    tcase_add_test(t, memory_follows_the_connections_that_live);
    tcase_add_test(t, none_that_lives_is_lost_and_the_table_shrinks_again);
    tcase_add_test(t, sweeping_is_spread_over_many_connections);
    tcase_add_test(t, open_descriptors_are_found);
    tcase_add_test(t, none_that_lives_is_lost_where_no_descriptor_is_left);
    tcase_add_test(t, without_memory_it_says_so_and_forgets_nobody);
    tcase_add_test(t, a_forked_child_goes_on_with_its_copy);
    tcase_add_test(t, a_vfork_child_changes_nothing);
    tcase_add_test(threads, threads_do_not_disturb_each_other);
    tcase_add_test(t, both_ends_come_back);
    tcase_add_test(t, the_socket_itself_is_used_where_the_kernel_lets_us);
    suite_add_tcase(s, t);
    suite_add_tcase(s, threads);
    return s;
}
