/* SPDX-License-Identifier: MIT
 *
 * test_sockname.c: addresses as the server's buffer gets them (sockname.h); which client a connection has is remembered
 * in its socket.
 */
#include "suites.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/client.h>
#include <ppshim/sockname.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];
static struct sockaddr_storage told;
static socklen_t length;

static void setup(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t room = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(bind(listener, (struct sockaddr *)&at, room) == 0 && listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&at, &room) == 0 &&
              connect(ends[1], (struct sockaddr *)&at, room) == 0);
    ends[0] = accept(listener, NULL, NULL);
    ck_assert_int_ge(ends[0], 0);
    close(listener);
    length = sizeof told;
    memset(&told, 0xee, sizeof told);
}

static void teardown(void)
{
    close(ends[0]);
    close(ends[1]);
}

static struct pps_addr addr_of(const char *text, uint16_t port)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, text, ip) == 1)
        return pps_addr_v4(ip, port);
    ck_assert_int_eq(inet_pton(AF_INET6, text, ip), 1);
    return pps_addr_v6(ip, port);
}

static void remember(const struct pps_client *c)
{
    struct sockaddr_storage ss;
    struct pps_addr peer;
    socklen_t room = sizeof ss;
    ck_assert_int_eq(getpeername(ends[0], (struct sockaddr *)&ss, &room), 0);
    ck_assert(pps_addr_from_sockaddr(&peer, (struct sockaddr *)&ss, room));
    ck_assert(pps_client_remember(ends[0], &peer, c));
}

static void tells(const char *text, uint16_t port)
{
    struct pps_addr expected = addr_of(text, port), got;
    ck_assert(pps_addr_from_sockaddr(&got, (struct sockaddr *)&told, length));
    ck_assert(got.port == port && memcmp(got.ip, expected.ip, sizeof got.ip) == 0);
}

static int peer(void)
{
    return pps_sockname_getpeername(ends[0], (struct sockaddr *)&told, &length);
}

static int own(void)
{
    return pps_sockname_getsockname(ends[0], (struct sockaddr *)&told, &length);
}

/* --- copying --- */

START_TEST(what_fits_is_copied_and_the_whole_length_told)
{
    static const char address[] = "0123456789abcdef";
    for (socklen_t room = 0; room <= 20; room++) {
        char out[24];
        socklen_t n = room;
        memset(out, 'x', sizeof out);
        pps_sockname_copy(address, 16, (struct sockaddr *)out, &n);
        ck_assert_uint_eq(n, 16);
        socklen_t copied = room < 16 ? room : 16;
        ck_assert(memcmp(out, address, copied) == 0 && out[copied] == 'x');
    }
}
END_TEST

static const struct {
    const char *ip;
    sa_family_t family;
    bool v6only;
    socklen_t room, full; /* 0: it is not told */
} forms[] = {
    {"203.0.113.7", AF_INET, false, 16, 16},  {"203.0.113.7", AF_INET, false, 4, 16},
    {"203.0.113.7", AF_INET6, false, 28, 28}, {"203.0.113.7", AF_INET6, true, 28, 16},
    {"2001:db8::7", AF_INET6, false, 28, 28}, {"2001:db8::7", AF_INET6, false, 16, 28},
    {"2001:db8::7", AF_INET6, true, 28, 28},  {"2001:db8::7", AF_INET, false, 28, 28},
    {"2001:db8::7", AF_INET, false, 27, 0},   {"2001:db8::7", AF_INET, false, 16, 0},
    {"2001:db8::7", AF_INET, false, 0, 0},
};

START_TEST(an_address_has_the_form_of_its_socket)
{
    for (unsigned i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct pps_addr a = addr_of(forms[i].ip, 4711);
        length = forms[i].room;
        bool can = pps_sockname_addr(&a, forms[i].family, forms[i].v6only, (struct sockaddr *)&told, &length);
        ck_assert_int_eq(can, forms[i].full != 0);
        ck_assert_uint_eq(length, can ? forms[i].full : forms[i].room);
        if (can && forms[i].room >= forms[i].full)
            tells(forms[i].ip, 4711);
    }
}
END_TEST

/* --- getpeername --- */

START_TEST(the_client_takes_the_peers_place)
{
    remember(&(struct pps_client){.has_addr = true, .addr = addr_of("203.0.113.7", 4711)});
    errno = 77;
    ck_assert_int_eq(peer(), 0);
    ck_assert_int_eq(errno, 77);
    ck_assert_uint_eq(length, sizeof(struct sockaddr_in));
    tells("203.0.113.7", 4711);
}
END_TEST

START_TEST(also_where_the_buffer_does_not_hold_the_peer)
{
    remember(&(struct pps_client){.has_addr = true, .addr = addr_of("203.0.113.7", 4711)});
    length = 4;
    ck_assert_int_eq(peer(), 0);
    ck_assert_uint_eq(length, sizeof(struct sockaddr_in));
    ck_assert(((struct sockaddr_in *)&told)->sin_port == htons(4711));
    ck_assert_int_eq(((unsigned char *)&told)[4], 0xee);
}
END_TEST

START_TEST(a_client_that_cannot_be_told_has_no_name)
{
    remember(&(struct pps_client){.has_addr = true, .addr = addr_of("2001:db8::7", 4711)});
    length = sizeof(struct sockaddr_in);
    ck_assert(peer() == -1 && errno == ENOBUFS);
    length = sizeof(struct sockaddr_in6);
    ck_assert_int_eq(peer(), 0);
    tells("2001:db8::7", 4711);
}
END_TEST

START_TEST(nobody_and_the_balancer_itself_are_the_peer)
{
    struct sockaddr_in real;
    socklen_t room = sizeof real;
    ck_assert_int_eq(getpeername(ends[0], (struct sockaddr *)&real, &room), 0);
    for (int remembered = 0; remembered < 2; remembered++) {
        if (remembered)
            remember(&(struct pps_client){.has_addr = false});
        length = sizeof told;
        errno = 77;
        ck_assert(peer() == 0 && errno == 77);
        ck_assert_uint_eq(length, sizeof real);
        ck_assert_mem_eq(&told, &real, sizeof real);
    }
}
END_TEST

START_TEST(the_kernels_errors_stand)
{
    int none = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(pps_sockname_getpeername(none, (struct sockaddr *)&told, &length) == -1 && errno == ENOTCONN);
    ck_assert(pps_sockname_getpeername(-1, (struct sockaddr *)&told, &length) == -1 && errno == EBADF);
    ck_assert(pps_sockname_getsockname(-1, (struct sockaddr *)&told, &length) == -1 && errno == EBADF);
    ck_assert(pps_sockname_getpeername(ends[0], NULL, NULL) == -1 && errno == EFAULT);
    ck_assert(pps_sockname_getsockname(ends[0], NULL, NULL) == -1 && errno == EFAULT);
    close(none);
}
END_TEST

/* --- getsockname --- */

START_TEST(what_the_client_connected_to_takes_the_own_address_place)
{
    remember(&(struct pps_client){.has_addr = true,
                                  .addr = addr_of("203.0.113.7", 4711),
                                  .has_local = true,
                                  .local = addr_of("192.0.2.10", 3306)});
    errno = 77;
    ck_assert(own() == 0 && errno == 77);
    tells("192.0.2.10", 3306);
    length = sizeof told;
    ck_assert_int_eq(peer(), 0);
    tells("203.0.113.7", 4711);
}
END_TEST

START_TEST(else_it_is_the_sockets_own)
{
    struct sockaddr_in real;
    socklen_t room = sizeof real;
    ck_assert_int_eq(getsockname(ends[0], (struct sockaddr *)&real, &room), 0);
    for (int remembered = 0; remembered < 2; remembered++) {
        if (remembered)
            remember(&(struct pps_client){.has_addr = true, .addr = addr_of("203.0.113.7", 4711)});
        length = sizeof told;
        errno = 77;
        ck_assert(own() == 0 && errno == 77);
        ck_assert_mem_eq(&told, &real, sizeof real);
    }
}
END_TEST

START_TEST(what_has_no_peer_keeps_its_own)
{
    int none = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(pps_sockname_getsockname(none, (struct sockaddr *)&told, &length), 0);
    ck_assert_uint_eq(length, sizeof(struct sockaddr_in));
    close(none);
}
END_TEST

Suite *suite_sockname(void)
{
    Suite *s = suite_create("sockname");
    TCase *t = tcase_create("sockname");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_fits_is_copied_and_the_whole_length_told);
    tcase_add_test(t, an_address_has_the_form_of_its_socket);
    tcase_add_test(t, the_client_takes_the_peers_place);
    tcase_add_test(t, also_where_the_buffer_does_not_hold_the_peer);
    tcase_add_test(t, a_client_that_cannot_be_told_has_no_name);
    tcase_add_test(t, nobody_and_the_balancer_itself_are_the_peer);
    tcase_add_test(t, the_kernels_errors_stand);
    tcase_add_test(t, what_the_client_connected_to_takes_the_own_address_place);
    tcase_add_test(t, else_it_is_the_sockets_own);
    tcase_add_test(t, what_has_no_peer_keeps_its_own);
    suite_add_tcase(s, t);
    return s;
}
