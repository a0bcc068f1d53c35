/* SPDX-License-Identifier: MIT
 *
 * test_parked.c: what a record says of the connections parked for its listener, and of nobody else's (parked.h).
 */
#include "../../shim/preload/record.h"
#include "suites.h"
#include <string.h>

/* A record that listener.c never came to. */
static const struct pps_listener listener = {.index = PPS_LISTENERS_MAX - 1, .generation = 3},
                                 earlier = {.index = PPS_LISTENERS_MAX - 1, .generation = 2};
static struct pps_record *const record = &pps_records[PPS_LISTENERS_MAX - 1];

static void setup(void)
{
    memset(record, 0, sizeof *record);
    atomic_store(&record->listener, listener);
}

static void teardown(void)
{
    memset(record, 0, sizeof *record);
}

START_TEST(they_are_counted_for_the_listener_that_is_there_now)
{
    ck_assert_uint_eq(pps_parked_count(&listener), 0);
    atomic_store(&record->parked.pending.count, 2);
    ck_assert_uint_eq(pps_parked_count(&listener), 2);
    ck_assert_uint_eq(pps_parked_count(&earlier), 0);
}
END_TEST

START_TEST(a_closed_one_is_in_use_while_there_is_a_connection_or_an_epoll)
{
    ck_assert(!pps_parked_is_in_use(&listener));
    record->parked.pending.oldest = 1;
    ck_assert(pps_parked_is_in_use(&listener) && !pps_parked_is_in_use(&earlier));
    record->parked.pending.oldest = 0;
    record->parked.pending.epoll = 1;
    ck_assert(pps_parked_is_in_use(&listener) && !pps_parked_is_in_use(&earlier));
    record->parked.pending.epoll = 0;
}
END_TEST

Suite *suite_parked(void)
{
    Suite *s = suite_create("parked");
    TCase *t = tcase_create("parked");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, they_are_counted_for_the_listener_that_is_there_now);
    tcase_add_test(t, a_closed_one_is_in_use_while_there_is_a_connection_or_an_epoll);
    suite_add_tcase(s, t);
    return s;
}
