/* SPDX-License-Identifier: MIT
 *
 * test_leader.c: one thread leads, the others follow (leader.h).
 */
#include "../../shim/preload/leader.h"
#include "../../shim/preload/process.h"
#include "../../shim/preload/record.h"
#include "forked.h"
#include "suites.h"
#include <errno.h>
#include <ppshim/deadline.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

/* A record that listener.c never came to. */
static const struct pps_listener listener = {.index = PPS_LISTENERS_MAX - 1, .generation = 3};
static struct pps_leader leader, other;

static void set_open(bool open)
{
    atomic_store(&pps_records[listener.index].numbers, open);
}

static void setup(void)
{
    forked_start();
    atomic_store(&pps_records[listener.index].listener, listener);
    set_open(true);
    pps_leader_open(&leader);
    pps_leader_open(&other);
}

static void teardown(void)
{
    pps_leader_resign(&leader);
    pps_leader_resign(&other);
    set_open(false);
    atomic_store(&pps_records[listener.index].listener, (struct pps_listener){0});
}

/* What this says in a thread of its own. */
static bool in_thread(void *(*work)(void *))
{
    pthread_t thread;
    void *said = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, work, NULL), 0);
    pthread_join(thread, &said);
    return said;
}

static void *try_to_lead(void *unused)
{
    (void)unused;
    bool led = pps_leader_try(&leader);
    if (led)
        pps_leader_resign(&leader);
    return led ? &leader : NULL;
}

static void *resign_what_is_not_mine(void *unused)
{
    (void)unused;
    pps_leader_resign(&leader);
    return pps_leader_is_me(&leader) ? NULL : &leader;
}

START_TEST(who_comes_first_leads_and_nobody_else)
{
    ck_assert(!pps_leader_is_me(&leader) && !pps_leader_is_in_use(&leader));
    ck_assert(pps_leader_try(&leader));
    ck_assert(pps_leader_is_me(&leader) && pps_leader_is_in_use(&leader));
    ck_assert(!in_thread(try_to_lead));
}
END_TEST

START_TEST(who_resigns_leads_no_more_and_another_can)
{
    ck_assert(pps_leader_try(&leader));
    pps_leader_resign(&leader);
    ck_assert(!pps_leader_is_me(&leader) && !pps_leader_is_in_use(&leader));
    ck_assert(in_thread(try_to_lead));
}
END_TEST

START_TEST(only_the_leader_can_resign)
{
    ck_assert(pps_leader_try(&leader));
    ck_assert(in_thread(resign_what_is_not_mine));
    ck_assert(pps_leader_is_me(&leader));
    ck_assert(!in_thread(try_to_lead));
}
END_TEST

START_TEST(it_watches_no_more_when_it_resigns)
{
    ck_assert(pps_leader_try(&leader));
    ck_assert(!pps_leader_is_watching(&leader));
    pps_leader_set_watching(&leader, true);
    ck_assert(pps_leader_is_watching(&leader));
    pps_leader_resign(&leader);
    ck_assert(!pps_leader_is_watching(&leader));
}
END_TEST

/* A handler that accepts from another listener, in the middle of an accept. */
START_TEST(who_leads_two_leads_the_first_when_it_has_left_the_second)
{
    ck_assert(pps_leader_try(&leader));
    ck_assert(pps_leader_try(&other));
    ck_assert(pps_leader_is_me(&leader) && pps_leader_is_me(&other));
    pps_leader_resign(&other);
    ck_assert(pps_leader_is_me(&leader) && !pps_leader_is_me(&other));
    pps_leader_resign(&leader);
    ck_assert(in_thread(try_to_lead));
}
END_TEST

static void *lead_the_other(void *unused)
{
    (void)unused;
    return pps_leader_try(&other) ? &other : NULL;
}

START_TEST(who_cannot_lead_a_second_leads_the_first_still)
{
    ck_assert(in_thread(lead_the_other));
    ck_assert(pps_leader_try(&leader));
    ck_assert(!pps_leader_try(&other));
    ck_assert(pps_leader_is_me(&leader));
    pps_leader_resign(&leader);
    ck_assert(in_thread(try_to_lead));
}
END_TEST

/* --- followers --- */

struct follower {
    pthread_t thread;
    uint64_t deadline;
    int why;
    atomic_bool over;
};

static void *follow(void *arg)
{
    struct follower *f = arg;
    f->why = pps_leader_follow(&leader, &listener, f->deadline);
    if (!f->why)
        pps_leader_resign(&leader);
    atomic_store(&f->over, true);
    return NULL;
}

static void start_following(struct follower *f, uint64_t deadline)
{
    unsigned before = atomic_load(&leader.followers);
    *f = (struct follower){.deadline = deadline};
    ck_assert_int_eq(pthread_create(&f->thread, NULL, follow, f), 0);
    while (atomic_load(&leader.followers) == before)
        sched_yield();
}

START_TEST(where_nobody_leads_a_follower_does)
{
    ck_assert_int_eq(pps_leader_follow(&leader, &listener, PPS_NEVER), 0);
    ck_assert(pps_leader_is_me(&leader) && !pps_leader_has_followers(&leader));
}
END_TEST

START_TEST(followers_lead_one_after_the_other_when_the_leader_leaves)
{
    struct follower f[3];
    ck_assert(pps_leader_try(&leader));
    for (int i = 0; i < 3; i++)
        start_following(&f[i], PPS_NEVER);
    ck_assert(pps_leader_has_followers(&leader));
    pps_leader_resign(&leader);
    for (int i = 0; i < 3; i++) {
        pthread_join(f[i].thread, NULL);
        ck_assert_int_eq(f[i].why, 0);
    }
    ck_assert(!pps_leader_is_in_use(&leader));
}
END_TEST

START_TEST(nobody_follows_on_a_closed_listener)
{
    ck_assert(pps_leader_try(&leader));
    set_open(false);
    struct follower f = {.deadline = PPS_NEVER};
    ck_assert_int_eq(pthread_create(&f.thread, NULL, follow, &f), 0);
    pthread_join(f.thread, NULL);
    ck_assert_int_eq(f.why, ESTALE);
    ck_assert(!pps_leader_has_followers(&leader));
}
END_TEST

START_TEST(every_follower_hears_of_the_end)
{
    struct follower f[3];
    ck_assert(pps_leader_try(&leader));
    for (int i = 0; i < 3; i++)
        start_following(&f[i], PPS_NEVER);
    set_open(false);
    pps_leader_wake(&leader);
    for (int i = 0; i < 3; i++) {
        pthread_join(f[i].thread, NULL);
        ck_assert_int_eq(f[i].why, ESTALE);
    }
    ck_assert(pps_leader_is_me(&leader));
}
END_TEST

START_TEST(a_wake_too_many_does_no_harm)
{
    struct follower f;
    ck_assert(pps_leader_try(&leader));
    start_following(&f, PPS_NEVER);
    for (int i = 0; i < 10; i++)
        pps_leader_wake(&leader);
    ck_assert(pps_leader_is_me(&leader) && !in_thread(try_to_lead));
    pps_leader_resign(&leader);
    pthread_join(f.thread, NULL);
    ck_assert_int_eq(f.why, 0);
    ck_assert(!pps_leader_is_in_use(&leader));
}
END_TEST

START_TEST(a_followers_time_can_be_over)
{
    struct follower f = {.deadline = 1};
    ck_assert(pps_leader_try(&leader));
    ck_assert_int_eq(pthread_create(&f.thread, NULL, follow, &f), 0);
    pthread_join(f.thread, NULL);
    ck_assert_int_eq(f.why, EAGAIN);
    ck_assert(!pps_leader_has_followers(&leader) && pps_leader_is_me(&leader));
}
END_TEST

static void handle(int sig)
{
    (void)sig;
}

/* A signal that comes before the follower sleeps interrupts nothing: the next does. */
START_TEST(a_signal_ends_a_follower_as_it_ends_accept)
{
    struct sigaction before, sa = {.sa_handler = handle};
    struct follower f;
    ck_assert_int_eq(sigaction(SIGUSR1, &sa, &before), 0);
    ck_assert(pps_leader_try(&leader));
    start_following(&f, PPS_NEVER);
    while (!atomic_load(&f.over)) {
        pthread_kill(f.thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(f.thread, NULL);
    sigaction(SIGUSR1, &before, NULL);
    ck_assert_int_eq(f.why, EINTR);
    ck_assert(!pps_leader_has_followers(&leader));
}
END_TEST

START_TEST(a_cancelled_follower_is_nobody_and_its_turn_anothers)
{
    struct follower gone, stays;
    void *how = NULL;
    ck_assert(pps_leader_try(&leader));
    start_following(&gone, PPS_NEVER);
    start_following(&stays, PPS_NEVER);
    pthread_cancel(gone.thread);
    pps_leader_resign(&leader);
    pthread_join(gone.thread, &how);
    pthread_join(stays.thread, NULL);
    ck_assert(how == PTHREAD_CANCELED || gone.why == 0);
    ck_assert_int_eq(stays.why, 0);
    ck_assert(!pps_leader_is_in_use(&leader));
}
END_TEST

START_TEST(a_listener_is_in_use_while_somebody_leads_or_follows)
{
    atomic_store(&other.followers, 1);
    ck_assert(pps_leader_is_in_use(&other));
    atomic_store(&other.followers, 0);
    ck_assert(!pps_leader_is_in_use(&other));
    ck_assert(pps_leader_try(&other) && pps_leader_is_in_use(&other));
}
END_TEST

/* --- the child of a fork --- */

static bool child_of_the_leader(void)
{
    pps_leader_after_fork(&leader);
    bool leads = pps_leader_is_me(&leader);
    pps_leader_resign(&leader); /* as it returns into what was interrupted */
    return !leads && !pps_leader_is_in_use(&leader) && !pps_leader_is_watching(&leader) && pps_leader_try(&leader) &&
           pps_leader_is_me(&leader);
}

START_TEST(in_a_forked_child_nobody_leads)
{
    ck_assert(pps_leader_try(&leader));
    pps_leader_set_watching(&leader, true);
    ck_assert(in_child(child_of_the_leader));
    ck_assert(pps_leader_is_me(&leader));
}
END_TEST

static bool child_of_followers(void)
{
    pps_leader_after_fork(&leader);
    return !pps_leader_has_followers(&leader) && sem_trywait(&leader.turn) == 0 && sem_trywait(&leader.turn) != 0;
}

static bool child_of_none(void)
{
    pps_leader_after_fork(&leader);
    return sem_trywait(&leader.turn) != 0;
}

START_TEST(a_follower_that_returns_in_a_forked_child_does_not_wait)
{
    struct follower f;
    ck_assert(pps_leader_try(&leader));
    ck_assert(in_child(child_of_none));
    start_following(&f, PPS_NEVER);
    ck_assert(in_child(child_of_followers));
    pps_leader_resign(&leader);
    pthread_join(f.thread, NULL);
}
END_TEST

/* --- many --- */

#define THREADS 6
#define ROUNDS 3000

static atomic_int inside, most;
static unsigned turns; /* the leader's */

static void *take_turns(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (!pps_leader_try(&leader) && pps_leader_follow(&leader, &listener, PPS_NEVER) != 0)
            return unused;
        int now = atomic_fetch_add(&inside, 1) + 1;
        if (now > atomic_load(&most))
            atomic_store(&most, now);
        turns++;
        atomic_fetch_sub(&inside, 1);
        pps_leader_resign(&leader);
    }
    return unused;
}

START_TEST(there_is_never_a_second_leader_and_nobody_is_left_asleep)
{
    pthread_t threads[THREADS];
    inside = most = 0;
    turns = 0;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_turns, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(most, 1);
    ck_assert_uint_eq(turns, THREADS * ROUNDS);
    ck_assert(!pps_leader_is_in_use(&leader));
}
END_TEST

Suite *suite_leader(void)
{
    Suite *s = suite_create("leader");
    TCase *t = tcase_create("threads");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, who_comes_first_leads_and_nobody_else);
    tcase_add_test(t, who_resigns_leads_no_more_and_another_can);
    tcase_add_test(t, only_the_leader_can_resign);
    tcase_add_test(t, it_watches_no_more_when_it_resigns);
    tcase_add_test(t, who_leads_two_leads_the_first_when_it_has_left_the_second);
    tcase_add_test(t, who_cannot_lead_a_second_leads_the_first_still);
    tcase_add_test(t, where_nobody_leads_a_follower_does);
    tcase_add_test(t, followers_lead_one_after_the_other_when_the_leader_leaves);
    tcase_add_test(t, nobody_follows_on_a_closed_listener);
    tcase_add_test(t, every_follower_hears_of_the_end);
    tcase_add_test(t, a_wake_too_many_does_no_harm);
    tcase_add_test(t, a_followers_time_can_be_over);
    tcase_add_test(t, a_signal_ends_a_follower_as_it_ends_accept);
    tcase_add_test(t, a_cancelled_follower_is_nobody_and_its_turn_anothers);
    tcase_add_test(t, a_listener_is_in_use_while_somebody_leads_or_follows);
    tcase_add_test(t, in_a_forked_child_nobody_leads);
    tcase_add_test(t, a_follower_that_returns_in_a_forked_child_does_not_wait);
    tcase_add_test(t, there_is_never_a_second_leader_and_nobody_is_left_asleep);
    suite_add_tcase(s, t);
    return s;
}
