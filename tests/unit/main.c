/* SPDX-License-Identifier: MIT
 *
 * main.c: runs every suite; exit status 0 when all of it passed.
 */
#include "suites.h"
#include <stdlib.h>

int main(void)
{
    SRunner *runner = srunner_create(suite_addr());
    int failed;

    srunner_add_suite(runner, suite_header());
    srunner_add_suite(runner, suite_header_tlv());
    srunner_add_suite(runner, suite_facts());
    srunner_add_suite(runner, suite_header_build());
    srunner_add_suite(runner, suite_cidr());
    srunner_add_suite(runner, suite_config());
    srunner_add_suite(runner, suite_trust_text());
    srunner_add_suite(runner, suite_trust_files());
    srunner_add_suite(runner, suite_trust_listeners());
    srunner_add_suite(runner, suite_trust_names());
    srunner_add_suite(runner, suite_trust_reload());
    srunner_add_suite(runner, suite_trust_threads());
    srunner_add_suite(runner, suite_line());
    srunner_add_suite(runner, suite_peer());
    srunner_add_suite(runner, suite_admit());
    srunner_add_suite(runner, suite_sockname());
    srunner_add_suite(runner, suite_lowat());
    srunner_add_suite(runner, suite_pending());
    srunner_add_suite(runner, suite_parked());
    srunner_add_suite(runner, suite_limit());
    srunner_add_suite(runner, suite_limit_tables());
    srunner_add_suite(runner, suite_listener());
    srunner_add_suite(runner, suite_interest());
    srunner_add_suite(runner, suite_usage());
    srunner_add_suite(runner, suite_vdso());
    srunner_add_suite(runner, suite_own_fds());
    srunner_add_suite(runner, suite_slot());
    srunner_add_suite(runner, suite_stats());
    srunner_add_suite(runner, suite_late());
    srunner_add_suite(runner, suite_leader());
    srunner_add_suite(runner, suite_acquire());
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
