/* SPDX-License-Identifier: MIT
 *
 * suites.h: every suite that main.c runs, one a test file.
 */
#ifndef SUITES_H
#define SUITES_H

#include <check.h>

Suite *suite_acquire(void);
Suite *suite_addr(void);
Suite *suite_admit(void);
Suite *suite_cidr(void);
Suite *suite_config(void);
Suite *suite_facts(void);
Suite *suite_header(void);
Suite *suite_header_build(void);
Suite *suite_header_tlv(void);
Suite *suite_interest(void);
Suite *suite_late(void);
Suite *suite_leader(void);
Suite *suite_limit(void);
Suite *suite_limit_tables(void);
Suite *suite_line(void);
Suite *suite_listener(void);
Suite *suite_lowat(void);
Suite *suite_own_fds(void);
Suite *suite_parked(void);
Suite *suite_peer(void);
Suite *suite_pending(void);
Suite *suite_slot(void);
Suite *suite_sockname(void);
Suite *suite_stats(void);
Suite *suite_trust_files(void);
Suite *suite_trust_listeners(void);
Suite *suite_trust_names(void);
Suite *suite_trust_reload(void);
Suite *suite_trust_text(void);
Suite *suite_trust_threads(void);
Suite *suite_usage(void);
Suite *suite_vdso(void);

#endif
