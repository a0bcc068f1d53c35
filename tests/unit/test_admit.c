/* SPDX-License-Identifier: MIT
 *
 * test_admit.c: who is let in, with which client, and who is not, on real TCP connections over loopback (admit.h). Who
 * the peer is the tests say themselves.
 */
#include "../../shim/policy/trust_internal.h"
#include "suites.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ppshim/admit.h>
#include <ppshim/deadline.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BALANCER "10.0.0.1"
#define MAYBE "10.0.0.2"
#define STRANGER "192.0.2.9"
#define HERE "127.0.0.1"
#define LINE "PROXY TCP4 203.0.113.7 192.0.2.10 4711 3306\r\n"

static struct pps_config config;
static const struct pps_origin origin = {.lowat = 1};
static int ends[2]; /* the server's, the peer's */
static struct pps_conn conn;
static uint8_t buffer[1024];
static enum pps_reason reason;

static void close_both(void)
{
    close(ends[0]);
    close(ends[1]);
}

static void connect_both(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(bind(listener, (struct sockaddr *)&at, length) == 0 && listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&at, &length) == 0 &&
              connect(ends[1], (struct sockaddr *)&at, length) == 0);
    ends[0] = accept(listener, NULL, NULL);
    ck_assert_int_ge(ends[0], 0);
    close(listener);
}

static void connect_anew(void)
{
    close_both();
    connect_both();
}

static void load(void)
{
    char error[PPS_ERROR_TEXT];
    pps_trust_forget();
    ck_assert_msg(pps_trust_load(&config, error), "%s", error);
}

static void setup(void)
{
    memset(&config, 0, sizeof config);
    config.trust = BALANCER " " HERE;
    config.header_optional = MAYBE;
    config.timeout_ms = 60000;
    config.version_accepted[1] = config.version_accepted[2] = true;
    load();
    connect_both();
    reason = PPS_REASON_COUNT;
}

static void teardown(void)
{
    close_both();
    pps_trust_forget();
}

static void say(const char *text)
{
    int have = 0, before = 0, length = (int)strlen(text);
    ck_assert_int_eq(ioctl(ends[0], FIONREAD, &before), 0);
    ck_assert_int_eq(send(ends[1], text, (size_t)length, 0), length);
    while (have < before + length) {
        struct pollfd p = {.fd = ends[0], .events = POLLIN};
        poll(&p, 1, -1);
        ck_assert_int_eq(ioctl(ends[0], FIONREAD, &have), 0);
    }
}

static enum pps_admission begin(const char *peer)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = htons(999)};
    ck_assert_int_eq(inet_pton(AF_INET, peer, &from.sin_addr), 1);
    return pps_admit_begin(&conn, &config, &origin, ends[0], (struct sockaddr *)&from, sizeof from, buffer,
                           sizeof buffer, &reason);
}

static enum pps_admission look(void)
{
    return pps_admit_look(&conn, &config, buffer, sizeof buffer, &reason);
}

static enum pps_admission time_is_over(void)
{
    return pps_admit_timeout(&conn, &config, buffer, sizeof buffer, &reason);
}

static void is_gone(enum pps_admission a, enum pps_reason why)
{
    ck_assert_int_eq(a, PPS_ADMIT_GONE);
    ck_assert_str_eq(pps_reason_word(reason), pps_reason_word(why));
}

static void server_reads(const char *text)
{
    char all[256];
    ssize_t n = recv(ends[0], all, sizeof all, MSG_DONTWAIT);
    ck_assert_int_eq(n, (ssize_t)strlen(text) ? (ssize_t)strlen(text) : -1);
    ck_assert(n < 0 || memcmp(all, text, (size_t)n) == 0);
}

static void client_is(const char *ip, uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct pps_addr expected;
    ck_assert_int_eq(inet_pton(AF_INET, ip, &at.sin_addr), 1);
    ck_assert(pps_addr_from_sockaddr(&expected, (struct sockaddr *)&at, sizeof at));
    ck_assert(conn.client.has_addr && conn.client.addr.port == port &&
              memcmp(conn.client.addr.ip, expected.ip, sizeof expected.ip) == 0);
}

static bool is_remembered(void)
{
    struct pps_client c;
    return pps_client_recall(ends[0], &conn.peer, &c) == PPS_RECALLED;
}

/* --- who must send a header --- */

START_TEST(a_header_that_is_there_is_taken_and_nothing_else)
{
    say(LINE "hello");
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_READY);
    client_is("203.0.113.7", 4711);
    ck_assert(conn.claims_client && !conn.arrived && is_remembered() && !conn.client.has_local);
    server_reads("hello");
}
END_TEST

START_TEST(a_stranger_is_let_in_as_who_it_is_with_all_it_says)
{
    say(LINE);
    ck_assert_int_eq(begin(STRANGER), PPS_ADMIT_READY);
    ck_assert(!conn.client.has_addr && !is_remembered());
    server_reads(LINE);
}
END_TEST

START_TEST(or_is_refused)
{
    config.reject_untrusted = true;
    is_gone(begin(STRANGER), PPS_REASON_UNTRUSTED);
}
END_TEST

START_TEST(a_peer_without_an_address_is_gone_without_a_word)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    is_gone(pps_admit_begin(&conn, &config, &origin, ends[0], &nobody, sizeof nobody, buffer, sizeof buffer, &reason),
            PPS_REASON_NONE);
}
END_TEST

START_TEST(a_part_is_waited_on_from_when_it_came)
{
    uint64_t before = pps_now();
    say("PROXY TCP4 203.0");
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    uint64_t arrived = conn.arrived;
    ck_assert(arrived >= before && arrived <= pps_now());
    ck_assert_uint_eq(conn.have, 16);
    ck_assert_uint_eq(conn.need, 17);
    say(".113.7");
    ck_assert_int_eq(look(), PPS_ADMIT_WAIT);
    ck_assert(conn.arrived == arrived);
    ck_assert_uint_eq(conn.need, 23);
    say(" 192.0.2.10 4711 3306\r\nx");
    ck_assert_int_eq(look(), PPS_ADMIT_READY);
    client_is("203.0.113.7", 4711);
    server_reads("x");
}
END_TEST

START_TEST(silence_is_waited_on_for_one_byte_until_the_time_is_over)
{
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    ck_assert_uint_eq(conn.need, 1);
    ck_assert_int_eq(look(), PPS_ADMIT_WAIT);
    is_gone(time_is_over(), PPS_REASON_TIMEOUT);
}
END_TEST

START_TEST(what_came_in_time_counts)
{
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    say(LINE);
    ck_assert_int_eq(time_is_over(), PPS_ADMIT_READY);
}
END_TEST

START_TEST(who_leaves_before_it_spoke_is_nobodys_fault)
{
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    shutdown(ends[1], SHUT_WR);
    ck_assert_int_eq(poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, -1), 1);
    is_gone(look(), PPS_REASON_NONE);
}
END_TEST

START_TEST(so_is_who_resets_before_it_spoke)
{
    struct linger at_once = {.l_onoff = 1};
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(ends[1]);
    ends[1] = -1;
    ck_assert_int_eq(poll(&(struct pollfd){.fd = ends[0]}, 1, -1), 1); /* POLLERR */
    is_gone(look(), PPS_REASON_NONE);
}
END_TEST

START_TEST(what_cannot_be_looked_at_is_stuck)
{
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    conn.fd = -1;
    is_gone(look(), PPS_REASON_HEADER_STUCK);
    int file = open("/dev/null", O_RDONLY);
    conn.fd = file;
    is_gone(look(), PPS_REASON_HEADER_STUCK);
    close(file);
}
END_TEST

START_TEST(of_one_that_woke_us_all_that_will_come_may_be_here)
{
    struct pps_lowat wait;
    pps_lowat_begin(&wait, 1);
    say("PROXY ");
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    ck_assert_int_eq(pps_admit_progress(&conn, &config, buffer, sizeof buffer, false, &wait, &reason), PPS_ADMIT_WAIT);
    is_gone(pps_admit_progress(&conn, &config, buffer, sizeof buffer, true, &wait, &reason), PPS_REASON_PEER_LEFT);
    conn.have = 0;
    ck_assert_int_eq(recv(ends[0], buffer, sizeof buffer, MSG_DONTWAIT), 6);
    is_gone(pps_admit_progress(&conn, &config, buffer, sizeof buffer, true, &wait, &reason), PPS_REASON_NONE);
    say(LINE);
    ck_assert_int_eq(pps_admit_progress(&conn, &config, buffer, sizeof buffer, true, &wait, &reason), PPS_ADMIT_READY);
}
END_TEST

START_TEST(a_header_is_seen_up_to_its_urgent_byte)
{
    say("PROXY TCP4 203.0.113.7 ");
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    ck_assert_int_eq(send(ends[1], "!", 1, MSG_OOB), 1);
    ck_assert_int_eq(poll(&(struct pollfd){.fd = ends[0], .events = POLLPRI}, 1, -1), 1);
    ck_assert_int_eq(send(ends[1], "192.0.2.10 4711 3306\r\n", 22, 0), 22);
    ck_assert_int_eq(look(), PPS_ADMIT_WAIT);
    ck_assert_uint_eq(conn.have, 23);
    is_gone(time_is_over(), PPS_REASON_TIMEOUT);
}
END_TEST

/* --- who may --- */

START_TEST(where_it_is_optional_a_header_is_taken)
{
    say(LINE);
    ck_assert_int_eq(begin(MAYBE), PPS_ADMIT_READY);
    client_is("203.0.113.7", 4711);
    server_reads("");
}
END_TEST

START_TEST(where_it_is_optional_other_bytes_are_the_servers)
{
    say("GET / HTTP/1.0\r\n");
    ck_assert_int_eq(begin(MAYBE), PPS_ADMIT_READY);
    ck_assert(!conn.client.has_addr && is_remembered());
    server_reads("GET / HTTP/1.0\r\n");
    connect_anew();
    say("GET / HTTP/1.0\r\n");
    is_gone(begin(BALANCER), PPS_REASON_NOT_A_HEADER);
}
END_TEST

START_TEST(where_it_is_optional_a_wrong_one_is_wrong)
{
    say("PROXY TCP5 ");
    is_gone(begin(MAYBE), PPS_REASON_V1_BAD_PROTOCOL);
}
END_TEST

START_TEST(where_it_is_optional_silence_is_an_answer_and_a_part_is_none)
{
    ck_assert_int_eq(begin(MAYBE), PPS_ADMIT_WAIT);
    ck_assert(!is_remembered());
    ck_assert_int_eq(time_is_over(), PPS_ADMIT_READY);
    ck_assert(is_remembered() && !conn.client.has_addr);
    connect_anew();
    say("PROXY ");
    ck_assert_int_eq(begin(MAYBE), PPS_ADMIT_WAIT);
    is_gone(time_is_over(), PPS_REASON_TIMEOUT);
}
END_TEST

/* --- whom it may name --- */

static const struct {
    const char *peer, *header;
    enum pps_reason reason;
} judged[] = {
    {BALANCER, "PROXY TCP4 0.0.0.0 192.0.2.10 1 2\r\n", PPS_REASON_SRC_UNSPECIFIED},
    {BALANCER, "PROXY TCP6 :: 2001:db8::1 1 2\r\n", PPS_REASON_SRC_UNSPECIFIED},
    {BALANCER, "PROXY TCP4 224.0.0.1 192.0.2.10 1 2\r\n", PPS_REASON_SRC_MULTICAST},
    {BALANCER, "PROXY TCP6 ff02::1 2001:db8::1 1 2\r\n", PPS_REASON_SRC_MULTICAST},
    {BALANCER, "PROXY TCP4 255.255.255.255 192.0.2.10 1 2\r\n", PPS_REASON_SRC_BROADCAST},
    {BALANCER, "PROXY TCP4 127.0.0.1 192.0.2.10 1 2\r\n", PPS_REASON_SRC_LOOPBACK},
    {BALANCER, "PROXY TCP6 ::1 2001:db8::1 1 2\r\n", PPS_REASON_SRC_LOOPBACK},
    {HERE, "PROXY TCP4 127.0.0.1 192.0.2.10 1 2\r\n", PPS_REASON_NONE},
    {HERE, "PROXY TCP4 224.0.0.1 192.0.2.10 1 2\r\n", PPS_REASON_SRC_MULTICAST},
    {BALANCER, "PROXY UNKNOWN\r\n", PPS_REASON_NONE},
    {BALANCER, "PROXY TCP4 198.51.100.1 192.0.2.10 1 2\r\n", PPS_REASON_CLIENT_DENIED},
    {BALANCER, "PROXY TCP4 203.0.113.255 192.0.2.10 0 0\r\n", PPS_REASON_NONE},
};

START_TEST(a_source_is_believed_that_can_be_one)
{
    config.client_deny = "198.51.100.0/24";
    load();
    for (unsigned i = 0; i < sizeof judged / sizeof *judged; i++) {
        connect_anew();
        say(judged[i].header);
        enum pps_admission a = begin(judged[i].peer);
        if (judged[i].reason != PPS_REASON_NONE) {
            is_gone(a, judged[i].reason);
            server_reads(judged[i].header); /* it is still there */
        } else {
            ck_assert_int_eq(a, PPS_ADMIT_READY);
        }
        ck_assert_int_eq(conn.claims_client, !strstr(judged[i].header, "UNKNOWN"));
    }
}
END_TEST

START_TEST(a_header_without_a_client_leaves_the_peer_as_it_is)
{
    say("PROXY UNKNOWN\r\nx");
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_READY);
    ck_assert(!conn.client.has_addr && !conn.claims_client && is_remembered());
    server_reads("x");
}
END_TEST

START_TEST(a_version_that_is_left_out_is_refused)
{
    config.version_accepted[1] = false;
    say(LINE);
    is_gone(begin(BALANCER), PPS_REASON_VERSION_REFUSED);
}
END_TEST

START_TEST(who_is_let_in_alone_is_told_by_an_address)
{
    config.client_allow = "203.0.113.0/24";
    load();
    say(LINE);
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_READY);
    connect_anew();
    say("PROXY TCP4 198.51.100.1 192.0.2.10 1 2\r\n");
    is_gone(begin(BALANCER), PPS_REASON_CLIENT_DENIED);
    connect_anew();
    say("PROXY UNKNOWN\r\n"); /* addresses say nothing of a client that is not told */
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_READY);
    connect_anew();
    static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0";
    ck_assert_int_eq(send(ends[1], local, 16, 0), 16);
    for (int have = 0; have < 16;)
        ck_assert_int_eq(ioctl(ends[0], FIONREAD, &have), 0);
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_READY); /* a balancer's own: no list is about it */
}
END_TEST

/* --- what the client connected to --- */

static const struct {
    const char *peer, *to;
    bool counts;
} destinations[] = {
    {BALANCER, "192.0.2.10", true},       {BALANCER, "0.0.0.0", false},   {BALANCER, "224.0.0.1", false},
    {BALANCER, "255.255.255.255", false}, {BALANCER, "127.0.0.1", false}, {HERE, "127.0.0.1", true},
};

START_TEST(a_destination_counts_that_can_be_one)
{
    config.local_from_header = true;
    for (unsigned i = 0; i < sizeof destinations / sizeof *destinations; i++) {
        char line[107];
        connect_anew();
        snprintf(line, sizeof line, "PROXY TCP4 203.0.113.7 %s 4711 3306\r\n", destinations[i].to);
        say(line);
        ck_assert_int_eq(begin(destinations[i].peer), PPS_ADMIT_READY);
        ck_assert_int_eq(conn.client.has_local, destinations[i].counts);
    }
}
END_TEST

START_TEST(without_a_client_there_is_none)
{
    config.local_from_header = true;
    say("PROXY UNKNOWN\r\n");
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_READY);
    ck_assert(!conn.client.has_local);
}
END_TEST

/* --- the end --- */

/* 0: a FIN, else the error. */
static int end_of(enum pps_reason why)
{
    char byte;
    int kept = dup(ends[0]); /* as a forked child may have it */
    ck_assert_int_eq(begin(BALANCER), PPS_ADMIT_WAIT);
    pps_admit_close(&conn, why);
    ck_assert_int_lt(fcntl(ends[0], F_GETFD), 0);
    ssize_t n = recv(ends[1], &byte, 1, 0);
    int error = errno;
    close(kept);
    return n ? error : 0;
}

START_TEST(who_is_gone_hears_the_end_whoever_has_a_copy)
{
    ck_assert_int_eq(end_of(PPS_REASON_TIMEOUT), 0);
    connect_anew();
    ck_assert_int_eq(end_of(PPS_REASON_NONE), 0);
}
END_TEST

START_TEST(who_was_too_many_is_reset)
{
    ck_assert_int_eq(end_of(PPS_REASON_CLIENT_MAX), ECONNRESET);
    connect_anew();
    ck_assert_int_eq(end_of(PPS_REASON_CLIENT_RATE), ECONNRESET);
}
END_TEST

Suite *suite_admit(void)
{
    Suite *s = suite_create("admit");
    TCase *t = tcase_create("admit");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_header_that_is_there_is_taken_and_nothing_else);
    tcase_add_test(t, a_stranger_is_let_in_as_who_it_is_with_all_it_says);
    tcase_add_test(t, or_is_refused);
    tcase_add_test(t, a_peer_without_an_address_is_gone_without_a_word);
    tcase_add_test(t, a_part_is_waited_on_from_when_it_came);
    tcase_add_test(t, silence_is_waited_on_for_one_byte_until_the_time_is_over);
    tcase_add_test(t, what_came_in_time_counts);
    tcase_add_test(t, who_leaves_before_it_spoke_is_nobodys_fault);
    tcase_add_test(t, so_is_who_resets_before_it_spoke);
    tcase_add_test(t, what_cannot_be_looked_at_is_stuck);
    tcase_add_test(t, of_one_that_woke_us_all_that_will_come_may_be_here);
    tcase_add_test(t, a_header_is_seen_up_to_its_urgent_byte);
    tcase_add_test(t, where_it_is_optional_a_header_is_taken);
    tcase_add_test(t, where_it_is_optional_other_bytes_are_the_servers);
    tcase_add_test(t, where_it_is_optional_a_wrong_one_is_wrong);
    tcase_add_test(t, where_it_is_optional_silence_is_an_answer_and_a_part_is_none);
    tcase_add_test(t, a_source_is_believed_that_can_be_one);
    tcase_add_test(t, a_header_without_a_client_leaves_the_peer_as_it_is);
    tcase_add_test(t, a_version_that_is_left_out_is_refused);
    tcase_add_test(t, who_is_let_in_alone_is_told_by_an_address);
    tcase_add_test(t, a_destination_counts_that_can_be_one);
    tcase_add_test(t, without_a_client_there_is_none);
    tcase_add_test(t, who_is_gone_hears_the_end_whoever_has_a_copy);
    tcase_add_test(t, who_was_too_many_is_reset);
    suite_add_tcase(s, t);
    return s;
}
