/* SPDX-License-Identifier: MIT
 *
 * test_stats.c: the counters of one process (conn/stats.h), by the events that move them. What of it real processes
 * can show is in tests/behaviour/test_stats.py.
 */
#include "../../shim/conn/events.h"
#include "forked.h"
#include "suites.h"
#include <dirent.h>
#include <fcntl.h>
#include <ppshim/stats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PORT 3306

static char directory[64];
static struct pps_conn conn;

static void setup(void)
{
    strcpy(directory, "/dev/shm/ppshim-unit-XXXXXX"); /* a tmpfs, or every test here fails */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    conn = (struct pps_conn){.origin.port = PORT};
    forked_start();
    pps_stats_start(directory);
}

/* As in the child of a fork, which begins anew. */
static void teardown(void)
{
    struct dirent *entry;
    DIR *dir = opendir(directory);
    pps_stats_after_fork();
    pps_stats_start(NULL);
    while ((entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    ck_assert_int_eq(rmdir(directory), 0);
}

/* Files of this process; *out: what is in the last. */
static int files(struct pps_stats_file *out)
{
    struct dirent *entry;
    int found = 0;
    char begin[32];
    snprintf(begin, sizeof begin, "%d.", (int)getpid());
    DIR *dir = opendir(directory);
    while ((entry = readdir(dir))) {
        if (strncmp(entry->d_name, begin, strlen(begin)) != 0)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        found += read(fd, out, sizeof *out) == sizeof *out;
        close(fd);
    }
    closedir(dir);
    return found;
}

static uint64_t all_of(const struct pps_stats_listener *l)
{
    uint64_t sum = 0;
    for (int i = 0; i < PPS_STAT_COUNT; i++)
        sum += l->counters[i];
    return sum;
}

START_TEST(each_reason_moves_its_counter_and_only_that)
{
    struct pps_stats_file file;
    pps_event_arrived(&conn);
    for (int reason = PPS_REASON_NONE + 1; reason < PPS_REASON_COUNT; reason++) {
        pps_event_rejected(&conn, (enum pps_reason)reason);
        ck_assert_int_eq(files(&file), 1);
        ck_assert_uint_eq(file.listener[0].counters[PPS_STAT_REJECTED + reason], 1);
        ck_assert_uint_eq(all_of(&file.listener[0]), 1 + (uint64_t)reason);
    }
}
END_TEST

/* --- listeners --- */

START_TEST(listeners_beyond_those_there_is_room_for_are_counted_as_one)
{
    struct pps_stats_file file;
    for (int i = 0; i < PPS_STATS_LISTENERS + 3; i++) {
        conn.origin.port = (uint16_t)(PORT + i);
        pps_event_arrived(&conn);
    }
    ck_assert_int_eq(files(&file), 1);
    ck_assert_str_eq(file.listener[0].name, ":3306");
    ck_assert_str_eq(file.listener[PPS_STATS_LISTENERS - 2].name, ":3312");
    ck_assert_str_eq(file.listener[PPS_STATS_LISTENERS - 1].name, PPS_STATS_OTHER);
    ck_assert_uint_eq(file.listener[0].counters[PPS_STAT_CONNECTIONS], 1);
    ck_assert_uint_eq(file.listener[PPS_STATS_LISTENERS - 1].counters[PPS_STAT_CONNECTIONS], 4);
}
END_TEST

START_TEST(the_longest_name_of_a_unix_listener_fits)
{
    static struct pps_unix_name name = {.length = PPS_UNIX_NAME_MAX};
    struct pps_stats_file file;
    memset(name.text, 'x', PPS_UNIX_NAME_MAX);
    conn.origin = (struct pps_origin){.unix_name = &name};
    pps_event_arrived(&conn);
    ck_assert_int_eq(files(&file), 1);
    ck_assert_uint_eq(strlen(file.listener[0].name), strlen("unix:") + PPS_UNIX_NAME_MAX);
    ck_assert_uint_eq(file.listener[0].counters[PPS_STAT_CONNECTIONS], 1);
}
END_TEST

/* --- threads and forks --- */

#define THREADS 8
#define EACH 10000

static void *count_many(void *unused)
{
    for (int i = 0; i < EACH; i++) {
        pps_event_arrived(&conn);
        pps_event_probe(&conn);
    }
    return unused;
}

START_TEST(what_threads_count_at_once_adds_up_in_one_file)
{
    struct pps_stats_file file;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(files(&file), 1);
    ck_assert_uint_eq(file.listener[0].counters[PPS_STAT_CONNECTIONS], THREADS * EACH);
    ck_assert_uint_eq(file.listener[0].counters[PPS_STAT_PROBES], THREADS * EACH);
}
END_TEST

static bool counts_into_a_file_of_its_own(void)
{
    struct pps_stats_file file;
    pps_event_probe(&conn); /* nothing has come to it yet: of its parent's it is, at most */
    if (files(&file) != 0)
        return false;
    pps_event_arrived(&conn);
    return files(&file) == 1 && file.listener[0].counters[PPS_STAT_CONNECTIONS] == 1 &&
           file.listener[0].counters[PPS_STAT_PROBES] == 0;
}

START_TEST(a_forked_child_counts_into_a_file_of_its_own_and_leaves_its_parents_alone)
{
    struct pps_stats_file file;
    pps_event_arrived(&conn);
    ck_assert(in_child(counts_into_a_file_of_its_own));
    ck_assert_int_eq(files(&file), 1);
    ck_assert_uint_eq(all_of(&file.listener[0]), 1);
}
END_TEST

Suite *suite_stats(void)
{
    Suite *s = suite_create("stats");
    TCase *t = tcase_create("stats"), *threads = tcase_create("threads");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_add_test(t, each_reason_moves_its_counter_and_only_that);
    tcase_add_test(t, listeners_beyond_those_there_is_room_for_are_counted_as_one);
    tcase_add_test(t, the_longest_name_of_a_unix_listener_fits);
    tcase_add_test(threads, what_threads_count_at_once_adds_up_in_one_file);
    tcase_add_test(t, a_forked_child_counts_into_a_file_of_its_own_and_leaves_its_parents_alone);
    suite_add_tcase(s, t);
    suite_add_tcase(s, threads);
    return s;
}
