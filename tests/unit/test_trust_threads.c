/* SPDX-License-Identifier: MIT
 *
 * test_trust_threads.c: lists that are replaced while threads read them, are cancelled, or fork.
 */
#include "trust_lists.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static atomic_bool stop;
static atomic_uint wrong, reads;

/* 10.0.0.1 and 10.9.9.9 are in every version of the list, 192.0.2.1 in none. */
static void *reader(void *unused)
{
    while (!atomic_load(&stop)) {
        bool good = trust_of("10.0.0.1") == PPS_TRUSTED && trust_of("10.9.9.9") == PPS_TRUSTED &&
                    trust_of("192.0.2.1") == PPS_UNTRUSTED && pps_trust_prefixes() >= 2;
        atomic_fetch_add(&wrong, !good);
        atomic_fetch_add(&reads, 1);
    }
    return unused;
}

/* The i-th version: as long as a few pages, so that its mapping is soon reused by the next. */
static void put_version(int i)
{
    char text[20000];
    int n = snprintf(text, sizeof text, "10.0.0.1\n10.9.9.9\n");
    for (int k = 0; k < 200 + i % 7; k++)
        n += snprintf(text + n, sizeof text - (size_t)n, "10.%d.%d.0/31\n", 20 + i % 50, k);
    put("new", text);
    move("new", "trust");
}

START_TEST(readers_are_never_wrong_while_the_lists_are_replaced)
{
    enum { READERS = 3, VERSIONS = 150 };
    pthread_t threads[READERS];
    int reloads = 0;
    put_version(0);
    must_load("@%/trust", NULL);
    atomic_store(&stop, false);
    atomic_store(&wrong, 0);
    atomic_store(&reads, 0);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reader, NULL), 0);
    for (int i = 1; i <= VERSIONS; i++) {
        put_version(i);
        reloads += look() && !failed;
    }
    while (atomic_load(&reads) < 1000)
        sched_yield();
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&wrong), 0);
    ck_assert_int_eq(reloads, VERSIONS);
    is_silent();
    ck_assert_uint_eq(pps_trust_retired(), 0);
}
END_TEST

static void *looker(void *unused)
{
    char my_news[PPS_ERROR_TEXT];
    bool my_failed;
    while (!atomic_load(&stop))
        if (pps_trust_look(0, my_news, &my_failed))
            atomic_fetch_add(&reads, 1);
    return unused;
}

START_TEST(of_threads_that_look_at_once_one_reloads)
{
    enum { VERSIONS = 50 };
    pthread_t a, b;
    put_version(0);
    must_load("@%/trust", NULL);
    atomic_store(&stop, false);
    atomic_store(&reads, 0);
    ck_assert_int_eq(pthread_create(&a, NULL, looker, NULL), 0);
    ck_assert_int_eq(pthread_create(&b, NULL, looker, NULL), 0);
    for (int i = 1; i <= VERSIONS; i++) {
        put_version(i);
        while (atomic_load(&reads) < (unsigned)i)
            sched_yield();
    }
    atomic_store(&stop, true);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    ck_assert_uint_eq(atomic_load(&reads), VERSIONS);
}
END_TEST

static void *cancelled_look(void *survived)
{
    pthread_cancel(pthread_self());
    pps_trust_look(0, (char[PPS_ERROR_TEXT]){0}, &(bool){0});
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return survived;
}

START_TEST(a_look_is_no_cancellation_point)
{
    pthread_t thread;
    void *result;
    loaded_from_file();
    put("trust", "10.0.0.22\n");
    ck_assert_int_eq(pthread_create(&thread, NULL, cancelled_look, dir), 0);
    pthread_join(thread, &result);
    ck_assert_ptr_eq(result, dir);
    ck_assert_int_eq(trust_of("10.0.0.22"), PPS_TRUSTED);
}
END_TEST

/* In a child of fork: without stdio, whose locks another thread may have held. */
static bool put_in_child(const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/child-%d", dir, (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && rename(path, path_of("trust")) == 0;
    close(fd);
    return good;
}

/* 0: the child reads, reloads and frees what it replaced. */
static int child_of_fork(void)
{
    pps_trust_after_fork();
    if (!put_in_child("10.77.0.1\n") || trust_of("10.0.0.1") != PPS_TRUSTED)
        return 1;
    if (!look() || failed || pps_trust_retired())
        return 2;
    return trust_of("10.77.0.1") == PPS_TRUSTED && trust_of("10.0.0.1") == PPS_UNTRUSTED ? 0 : 3;
}

static void fork_and_check(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_of_fork());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

START_TEST(a_forked_child_reloads_for_itself)
{
    loaded_from_file();
    fork_and_check();
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    tells(false, "reloaded PPSHIM_TRUST prefixes=1");
}
END_TEST

START_TEST(a_fork_while_other_threads_read_leaves_the_child_a_free_reload)
{
    pthread_t thread;
    loaded_from_file();
    atomic_store(&stop, false);
    atomic_store(&reads, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, reader, NULL), 0);
    while (!atomic_load(&reads))
        sched_yield();
    for (int i = 0; i < 20; i++)
        fork_and_check();
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}
END_TEST

static int child_of_fork_in_a_look(void)
{
    pps_trust_after_fork();
    return put_in_child("10.78.0.1\n") && look() && !failed ? 0 : 1;
}

START_TEST(a_fork_while_another_thread_looks_leaves_the_child_a_free_reload)
{
    pthread_t thread;
    int status;
    put_version(0);
    must_load("@%/trust", NULL);
    atomic_store(&stop, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, looker, NULL), 0);
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(child_of_fork_in_a_look());
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}
END_TEST

Suite *suite_trust_threads(void)
{
    Suite *s = suite_create("trust_threads");
    TCase *t = new_case(s, "threads");
    tcase_add_test(t, readers_are_never_wrong_while_the_lists_are_replaced);
    tcase_add_test(t, of_threads_that_look_at_once_one_reloads);
    tcase_add_test(t, a_look_is_no_cancellation_point);
    tcase_add_test(t, a_forked_child_reloads_for_itself);
    tcase_add_test(t, a_fork_while_other_threads_read_leaves_the_child_a_free_reload);
    tcase_add_test(t, a_fork_while_another_thread_looks_leaves_the_child_a_free_reload);
    return s;
}
