/* SPDX-License-Identifier: MIT
 *
 * test_listener.c: which numbers are governed listeners, and which record is whose (listener.h). Records are for good:
 * each test has a forked process.
 */
#include "../../shim/policy/trust_internal.h"
#include "../../shim/preload/record.h"
#include "../../shim/preload/state.h"
#include "forked.h"
#include "suites.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ppshim/log.h>
#include <ppshim/sockopt.h>
#include <ppshim/trust.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct pps_listener a, b, in_use, ended;
static unsigned ends;

static bool is_in_use(const struct pps_listener *l)
{
    return pps_listener_same(l, &in_use);
}

static void hear_of_the_end(const struct pps_listener *l)
{
    ended = *l;
    ends++;
}

/* In the child. */
static void begin(void)
{
    pps_trust_forget();
    pps_config = (struct pps_config){.on = true, .trust = "127.0.0.1", .timeout_ms = 1000};
    memset(pps_config.ports, 0xff, sizeof pps_config.ports);
    pps_log_start(&pps_config, NULL); /* errors alone */
    pps_listener_start(is_in_use, hear_of_the_end);
}

static void govern(in_port_t port, bool governed)
{
    uint16_t p = ntohs(port);
    pps_config.ports[p / 8] = (uint8_t)((pps_config.ports[p / 8] & ~(1 << p % 8)) | governed << p % 8);
}

static in_port_t port_of(int fd)
{
    struct sockaddr_in6 at = {.sin6_port = 0};
    socklen_t length = sizeof at;
    return getsockname(fd, (struct sockaddr *)&at, &length) == 0 ? at.sin6_port : 0;
}

static int listener_of(int family, bool v6only)
{
    struct sockaddr_in6 any = {.sin6_family = (sa_family_t)family};
    int fd = socket(family, SOCK_STREAM, 0), only = v6only;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) != 0)
        return -1;
    return bind(fd, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof any) == 0 &&
                   listen(fd, 4) == 0
               ? fd
               : -1;
}

static int new_listener(void)
{
    return listener_of(AF_INET, false);
}

static bool is_governed(int fd, struct pps_listener *out)
{
    return pps_listener_find(fd, out) == PPS_FD_GOVERNED && pps_fd_kind(fd) == PPS_FD_GOVERNED;
}

/* --- what a number is --- */

static bool scanned(void)
{
    int l = new_listener(), plain = socket(AF_INET, SOCK_STREAM, 0), file = open("/dev/null", O_RDONLY);
    begin();
    if (dup2(l, 255) < 0 || dup2(l, 256) < 0 || close(200) == 0)
        return false;
    pps_listener_scan();
    return pps_fd_kind(l) == PPS_FD_INHERITED && pps_fd_kind(255) == PPS_FD_INHERITED &&
           pps_fd_kind(256) == PPS_FD_UNKNOWN && pps_fd_kind(200) == PPS_FD_UNKNOWN &&
           pps_fd_kind(plain) == PPS_FD_OTHER && pps_fd_kind(file) == PPS_FD_NO_SOCKET && is_governed(l, &a) &&
           is_governed(255, &b) && pps_listener_same(&a, &b);
}

static bool scanned_where_all_numbers_are_open(void)
{
    int l = new_listener(), file = open("/dev/null", O_RDONLY);
    begin();
    for (int fd = 0; fd < 256; fd++)
        if (fd != l && dup2(file, fd) != fd)
            return false;
    pps_listener_scan();
    return pps_fd_kind(l) == PPS_FD_INHERITED && pps_fd_kind(0) == PPS_FD_NO_SOCKET;
}

START_TEST(listeners_that_are_there_at_the_start_are_marked_up_to_number_255)
{
    ck_assert(in_child(scanned));
    ck_assert(in_child(scanned_where_all_numbers_are_open));
}
END_TEST

static bool met(void)
{
    int l = new_listener(), other = new_listener(), plain = socket(AF_INET, SOCK_STREAM, 0),
        file = open("/dev/null", O_RDONLY);
    begin();
    govern(port_of(other), false);
    return pps_listener_find(plain, &a) == PPS_FD_OTHER && pps_fd_kind(plain) == PPS_FD_OTHER &&
           pps_listener_find(file, &a) == PPS_FD_NO_SOCKET && pps_fd_kind(file) == PPS_FD_NO_SOCKET &&
           pps_listener_find(other, &a) == PPS_FD_UNGOVERNED && pps_fd_kind(other) == PPS_FD_UNGOVERNED &&
           pps_listener_find(900, &a) == PPS_FD_UNKNOWN && !a.generation && is_governed(l, &a) && a.generation &&
           a.port == ntohs(port_of(l));
}

START_TEST(a_number_that_is_met_is_asked_what_it_is)
{
    ck_assert(in_child(met));
}
END_TEST

static bool believed(void)
{
    int l = new_listener(), plain = socket(AF_INET, SOCK_STREAM, 0);
    begin();
    if (!is_governed(l, &a) || pps_listener_find(plain, &b) != PPS_FD_OTHER || dup2(plain, l) != l)
        return false;
    return pps_listener_find(l, &b) == PPS_FD_GOVERNED && pps_listener_same(&a, &b) && ends == 0;
}

START_TEST(a_look_up_believes_what_was_known)
{
    ck_assert(in_child(believed));
}
END_TEST

/* --- whose record --- */

static bool copied(void)
{
    int l = new_listener(), copy = dup(l), other = new_listener();
    struct pps_listener gone = {0};
    begin();
    if (!is_governed(l, &a) || !is_governed(copy, &b) || !pps_listener_same(&a, &b) || !is_governed(other, &b) ||
        a.index == b.index)
        return false;
    bool first = pps_listener_forget(l, &gone);
    return !first && pps_listener_is_open(&a) && pps_fd_kind(l) == PPS_FD_UNKNOWN && !gone.generation &&
           pps_listener_forget(copy, &gone) && pps_listener_same(&gone, &a) && !pps_listener_is_open(&a) &&
           pps_listener_is_open(&b) && ends == 0;
}

START_TEST(a_listener_ends_with_its_last_number)
{
    ck_assert(in_child(copied));
}
END_TEST

static bool met_again(void)
{
    int l = new_listener();
    struct pps_listener gone;
    begin();
    for (int i = 0; i < 3; i++)
        if (pps_listener_recheck(l, &a) != PPS_FD_GOVERNED)
            return false;
    return pps_listener_forget(l, &gone);
}

START_TEST(a_number_counts_once_however_often_it_is_met)
{
    ck_assert(in_child(met_again));
}
END_TEST

static bool used_again(void)
{
    int first = new_listener(), second = new_listener(), third = new_listener(), fourth = new_listener();
    struct pps_listener gone, c, d;
    begin();
    if (!is_governed(first, &a) || !is_governed(second, &b) || !pps_listener_forget(first, &gone) ||
        !is_governed(third, &c))
        return false;
    bool again = c.index == a.index && c.generation == a.generation + 1 && !pps_listener_is_open(&a);
    in_use = c;
    return again && pps_listener_forget(third, &gone) && is_governed(fourth, &d) && d.index != c.index &&
           d.index != b.index && pps_records_end() == pps_records + 3;
}

START_TEST(a_record_is_anothers_when_nobody_is_in_it)
{
    ck_assert(in_child(used_again));
}
END_TEST

static bool never_zero(void)
{
    int first = new_listener(), second = new_listener();
    struct pps_listener gone;
    begin();
    if (!is_governed(first, &a) || !pps_listener_forget(first, &gone))
        return false;
    a.generation = UINT16_MAX;
    atomic_store(&pps_record_of(&a)->listener, a);
    return is_governed(second, &b) && b.index == a.index && b.generation == 1;
}

START_TEST(a_generation_is_never_zero)
{
    ck_assert(in_child(never_zero));
}
END_TEST

/* --- numbers whose close nobody saw --- */

static bool another_listeners(void)
{
    int l = new_listener(), other = new_listener();
    begin();
    if (!is_governed(l, &a) || pps_listener_confirm(l, &b) != PPS_FD_GOVERNED || !pps_listener_same(&a, &b) || ends)
        return false;
    return dup2(other, l) == l && pps_listener_confirm(l, &b) == PPS_FD_GOVERNED && !pps_listener_same(&a, &b) &&
           b.port == ntohs(port_of(other)) && ends == 1 && pps_listener_same(&ended, &a) && !pps_listener_is_open(&a) &&
           pps_listener_is_open(&b);
}

START_TEST(a_listener_whose_number_is_another_listeners_has_ended)
{
    ck_assert(in_child(another_listeners));
}
END_TEST

static bool no_listeners(void)
{
    int l = new_listener(), plain = socket(AF_INET, SOCK_STREAM, 0);
    begin();
    return is_governed(l, &a) && dup2(plain, l) == l && pps_listener_confirm(l, &b) == PPS_FD_OTHER && ends == 1 &&
           pps_listener_same(&ended, &a) && pps_fd_kind(l) == PPS_FD_OTHER;
}

START_TEST(a_listener_whose_number_is_no_listeners_has_ended)
{
    ck_assert(in_child(no_listeners));
}
END_TEST

static bool of_two_numbers(void)
{
    int l = new_listener(), copy = dup(l), plain = socket(AF_INET, SOCK_STREAM, 0);
    begin();
    return is_governed(l, &a) && is_governed(copy, &b) && dup2(plain, l) == l &&
           pps_listener_recheck(l, &b) == PPS_FD_OTHER && ends == 0 && pps_listener_is_open(&a);
}

START_TEST(one_that_has_another_number_has_not)
{
    ck_assert(in_child(of_two_numbers));
}
END_TEST

/* --- what its connections take over --- */

static bool is_origin(int fd, bool inet6, bool v6only, int lowat)
{
    struct pps_listener l;
    if (!is_governed(fd, &l))
        return false;
    struct pps_origin o = pps_listener_origin(&l);
    return o.port == ntohs(port_of(fd)) && o.inet6 == inet6 && o.v6only == v6only && o.lowat == lowat && !o.unix_name;
}

static bool origins(void)
{
    int four = new_listener(), six = listener_of(AF_INET6, true), both = listener_of(AF_INET6, false), seven = 7;
    begin();
    return setsockopt(both, SOL_SOCKET, SO_RCVLOWAT, &seven, sizeof seven) == 0 && is_origin(four, false, false, 1) &&
           is_origin(six, true, true, 1) && is_origin(both, true, false, 7);
}

START_TEST(an_origin_tells_of_the_listener)
{
    ck_assert(in_child(origins));
}
END_TEST

static int unix_listener(const char *abstract)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(at.sun_path + 1, abstract);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract));
    return bind(fd, (struct sockaddr *)&at, length) == 0 && listen(fd, 4) == 0 ? fd : -1;
}

static bool unix_ones(void)
{
    char names[2][64], trust[200];
    int fd[3];
    for (int i = 0; i < 2; i++) {
        snprintf(names[i], sizeof names[i], "ppshim-test-listener-%d-%d", getpid(), i);
        fd[i] = unix_listener(names[i]);
    }
    snprintf(trust, sizeof trust, "unix:@%s,unix:@%s", names[0], names[1]);
    fd[2] = unix_listener("ppshim-test-listener-of-nobody");
    begin();
    pps_config.trust = trust;
    if (!is_governed(fd[0], &a) || !is_governed(fd[1], &b) || pps_listener_find(fd[2], &in_use) != PPS_FD_UNGOVERNED)
        return false;
    struct pps_origin first = pps_listener_origin(&a), second = pps_listener_origin(&b);
    struct pps_listener gone, again;
    bool told = first.unix_name && second.unix_name && strcmp(first.unix_name->text + 1, names[0]) == 0 &&
                strcmp(second.unix_name->text + 1, names[1]) == 0 && first.port == 0 && a.is_unix;
    close(fd[0]);
    return told && pps_listener_forget(fd[0], &gone) && (fd[0] = unix_listener(names[0])) >= 0 &&
           is_governed(fd[0], &again) && pps_listener_origin(&again).unix_name == first.unix_name;
}

START_TEST(a_unix_listener_has_the_name_that_a_list_has_for_it)
{
    ck_assert(in_child(unix_ones));
}
END_TEST

Suite *suite_listener(void)
{
    Suite *s = suite_create("listener");
    TCase *t = tcase_create("listener");

    tcase_add_checked_fixture(t, forked_start, NULL);
    tcase_add_test(t, listeners_that_are_there_at_the_start_are_marked_up_to_number_255);
    tcase_add_test(t, a_number_that_is_met_is_asked_what_it_is);
    tcase_add_test(t, a_look_up_believes_what_was_known);
    tcase_add_test(t, a_listener_ends_with_its_last_number);
    tcase_add_test(t, a_number_counts_once_however_often_it_is_met);
    tcase_add_test(t, a_record_is_anothers_when_nobody_is_in_it);
    tcase_add_test(t, a_generation_is_never_zero);
    tcase_add_test(t, a_listener_whose_number_is_another_listeners_has_ended);
    tcase_add_test(t, a_listener_whose_number_is_no_listeners_has_ended);
    tcase_add_test(t, one_that_has_another_number_has_not);
    tcase_add_test(t, an_origin_tells_of_the_listener);
    tcase_add_test(t, a_unix_listener_has_the_name_that_a_list_has_for_it);
    suite_add_tcase(s, t);
    return s;
}
