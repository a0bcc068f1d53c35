/* SPDX-License-Identifier: MIT
 *
 * test_addr.c: endpoints to and from sockaddrs and text, and the ranges that admission asks for.
 */
#include "suites.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/addr.h>
#include <stdio.h>
#include <string.h>

static struct pps_addr addr(const char *ip, uint16_t port)
{
    uint8_t bytes[16];

    if (inet_pton(AF_INET, ip, bytes) == 1)
        return pps_addr_v4(bytes, port);
    ck_assert_int_eq(inet_pton(AF_INET6, ip, bytes), 1);
    return pps_addr_v6(bytes, port);
}

static void check_same(const struct pps_addr *a, const struct pps_addr *b)
{
    ck_assert_mem_eq(a->ip, b->ip, 16);
    ck_assert_uint_eq(a->port, b->port);
}

START_TEST(ipv4_is_its_mapped_form)
{
    struct pps_addr v4 = addr("203.0.113.7", 4711), mapped = addr("::ffff:203.0.113.7", 4711);

    check_same(&v4, &mapped);
    ck_assert_mem_eq(v4.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\x00\x71\x07", 16);
    ck_assert(pps_addr_is_v4(&mapped));
}
END_TEST

START_TEST(ipv4_sockaddr_is_read)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4711)};
    struct pps_addr a, wanted = addr("203.0.113.7", 4711);

    inet_pton(AF_INET, "203.0.113.7", &in.sin_addr);
    ck_assert(pps_addr_from_sockaddr(&a, (struct sockaddr *)&in, sizeof in));
    check_same(&a, &wanted);
}
END_TEST

START_TEST(ipv6_sockaddr_is_read_from_any_alignment)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(4711)};
    struct pps_addr a, wanted = addr("2001:db8::7", 4711);
    uint8_t bytes[sizeof in6 + 1];

    inet_pton(AF_INET6, "2001:db8::7", &in6.sin6_addr);
    memcpy(bytes + 1, &in6, sizeof in6);
    ck_assert(pps_addr_from_sockaddr(&a, (struct sockaddr *)(void *)(bytes + 1), sizeof in6));
    check_same(&a, &wanted);
}
END_TEST

START_TEST(sockaddr_too_short_for_its_family_is_refused)
{
    struct sockaddr_storage storage = {.ss_family = AF_INET};
    struct pps_addr a;

    for (socklen_t len = 0; len < sizeof(struct sockaddr_in); len++)
        ck_assert(!pps_addr_from_sockaddr(&a, (struct sockaddr *)&storage, len));
    ck_assert(pps_addr_from_sockaddr(&a, (struct sockaddr *)&storage, sizeof(struct sockaddr_in)));
    storage.ss_family = AF_INET6;
    for (socklen_t len = 0; len < sizeof(struct sockaddr_in6); len++)
        ck_assert(!pps_addr_from_sockaddr(&a, (struct sockaddr *)&storage, len));
    ck_assert(pps_addr_from_sockaddr(&a, (struct sockaddr *)&storage, sizeof(struct sockaddr_in6)));
}
END_TEST

START_TEST(sockaddr_of_no_length_is_not_read)
{
    struct pps_addr a;

    ck_assert(!pps_addr_from_sockaddr(&a, NULL, 0));
}
END_TEST

START_TEST(sockaddr_of_another_family_is_refused)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNIX};
    struct pps_addr a = addr("192.0.2.1", 1), before = a;

    ck_assert(!pps_addr_from_sockaddr(&a, (struct sockaddr *)&storage, sizeof storage));
    storage.ss_family = AF_UNSPEC;
    ck_assert(!pps_addr_from_sockaddr(&a, (struct sockaddr *)&storage, sizeof storage));
    check_same(&a, &before);
}
END_TEST

START_TEST(ipv4_is_written_as_the_kernel_writes_it)
{
    struct pps_addr a = addr("203.0.113.7", 4711);
    struct sockaddr_in wanted = {.sin_family = AF_INET, .sin_port = htons(4711)};
    struct sockaddr_storage out;

    memset(&out, 0xa5, sizeof out);
    inet_pton(AF_INET, "203.0.113.7", &wanted.sin_addr);
    ck_assert_uint_eq(pps_addr_to_sockaddr(&a, AF_INET, &out), sizeof wanted);
    ck_assert_mem_eq(&out, &wanted, sizeof wanted);
}
END_TEST

static void check_written_as_inet6(const char *ip, sa_family_t family, const char *wanted_ip)
{
    struct pps_addr a = addr(ip, 4711);
    struct sockaddr_in6 wanted = {.sin6_family = AF_INET6, .sin6_port = htons(4711)};
    struct sockaddr_storage out;

    memset(&out, 0xa5, sizeof out);
    inet_pton(AF_INET6, wanted_ip, &wanted.sin6_addr);
    ck_assert_uint_eq(pps_addr_to_sockaddr(&a, family, &out), sizeof wanted);
    ck_assert_mem_eq(&out, &wanted, sizeof wanted);
}

START_TEST(ipv4_is_mapped_for_a_dual_stack_socket)
{
    check_written_as_inet6("203.0.113.7", AF_INET6, "::ffff:203.0.113.7");
}
END_TEST

START_TEST(ipv6_is_written_whole)
{
    check_written_as_inet6("2001:db8::7", AF_INET6, "2001:db8::7");
}
END_TEST

START_TEST(ipv6_asked_for_as_ipv4_is_not_cut_short)
{
    check_written_as_inet6("2001:db8::7", AF_INET, "2001:db8::7");
}
END_TEST

START_TEST(every_family_is_read_back)
{
    static const sa_family_t families[] = {AF_INET, AF_INET6};
    struct pps_addr v4 = addr("203.0.113.7", 65535), read;
    struct sockaddr_storage out;

    for (int i = 0; i < 2; i++) {
        socklen_t len = pps_addr_to_sockaddr(&v4, families[i], &out);
        ck_assert(pps_addr_from_sockaddr(&read, (struct sockaddr *)&out, len));
        check_same(&read, &v4);
    }
}
END_TEST

static const struct {
    const char *ip;
    bool v4, unspecified, loopback, multicast, broadcast;
} kinds[] = {
    {"0.0.0.0", true, true, false, false, false},
    {"0.0.0.1", true, false, false, false, false},
    {"::", false, true, false, false, false},
    {"::ffff:0.0.0.0", true, true, false, false, false},
    {"126.255.255.255", true, false, false, false, false},
    {"127.0.0.0", true, false, true, false, false},
    {"127.255.255.255", true, false, true, false, false},
    {"128.0.0.0", true, false, false, false, false},
    {"::1", false, false, true, false, false},
    {"::2", false, false, false, false, false},
    {"::ffff:127.0.0.1", true, false, true, false, false},
    {"::127.0.0.1", false, false, false, false, false},
    {"::fffe:127.0.0.1", false, false, false, false, false},
    {"1::ffff:127.0.0.1", false, false, false, false, false},
    {"223.255.255.255", true, false, false, false, false},
    {"224.0.0.0", true, false, false, true, false},
    {"239.255.255.255", true, false, false, true, false},
    {"240.0.0.0", true, false, false, false, false},
    {"ff00::", false, false, false, true, false},
    {"ffff::1", false, false, false, true, false},
    {"feff::1", false, false, false, false, false},
    {"255.255.255.254", true, false, false, false, false},
    {"255.255.255.255", true, false, false, false, true},
    {"::255.255.255.255", false, false, false, false, false},
    {"203.0.113.7", true, false, false, false, false},
    {"2001:db8::7", false, false, false, false, false},
};

START_TEST(kind_of_address_is_known)
{
    struct pps_addr a = addr(kinds[_i].ip, 1);

    ck_assert_msg(pps_addr_is_v4(&a) == kinds[_i].v4, "%s", kinds[_i].ip);
    ck_assert_msg(pps_addr_is_unspecified(&a) == kinds[_i].unspecified, "%s", kinds[_i].ip);
    ck_assert_msg(pps_addr_is_loopback(&a) == kinds[_i].loopback, "%s", kinds[_i].ip);
    ck_assert_msg(pps_addr_is_multicast(&a) == kinds[_i].multicast, "%s", kinds[_i].ip);
    ck_assert_msg(pps_addr_is_broadcast(&a) == kinds[_i].broadcast, "%s", kinds[_i].ip);
}
END_TEST

static const struct {
    const char *ip;
    uint16_t port;
    const char *text;
} texts[] = {
    {"0.0.0.0", 0, "0.0.0.0:0"},
    {"203.0.113.7", 4711, "203.0.113.7:4711"},
    {"255.255.255.255", 65535, "255.255.255.255:65535"},
    {"::ffff:10.20.30.40", 1, "10.20.30.40:1"},
    {"::", 0, "[::]:0"},
    {"::1", 80, "[::1]:80"},
    {"1::", 80, "[1::]:80"},
    {"2001:db8::7", 4711, "[2001:db8::7]:4711"},
    {"2001:DB8::ABCD", 10, "[2001:db8::abcd]:10"},
    {"1:2:3:4:5:6:7:8", 9, "[1:2:3:4:5:6:7:8]:9"},
    {"1:0:3:4:5:6:7:8", 9, "[1:0:3:4:5:6:7:8]:9"},
    {"0:0:1:0:0:1:0:0", 9, "[::1:0:0:1:0:0]:9"},
    {"1:0:0:1:0:0:0:1", 9, "[1:0:0:1::1]:9"},
    {"0:1:0:1:0:1:0:0", 9, "[0:1:0:1:0:1::]:9"},
    {"0:0:0:0:0:0:1.2.3.4", 9, "[::102:304]:9"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
};

START_TEST(text_is_canonical)
{
    struct pps_addr a = addr(texts[_i].ip, texts[_i].port);
    char text[PPS_ADDR_TEXT];

    ck_assert_ptr_eq(pps_addr_text(&a, text), text);
    ck_assert_str_eq(text, texts[_i].text);
}
END_TEST

/* inet_ntop writes the same, but for ::a.b.c.d, which it dots and we do not. */
START_TEST(text_of_every_run_of_zeros_is_that_of_inet_ntop)
{
    for (unsigned mask = 0; mask < 256; mask++) {
        uint8_t ip[16] = {0};
        char wanted[2 * PPS_ADDR_TEXT], text[PPS_ADDR_TEXT], ours[PPS_ADDR_TEXT];
        for (unsigned group = 0; group < 8; group++) {
            if (mask >> group & 1)
                ip[2 * group + 1] = (uint8_t)(0x10 + group);
        }
        bool dotted_by_libc = (mask & 0x3f) == 0 && (mask & 0x40) != 0;
        if (dotted_by_libc)
            continue;
        struct pps_addr a = pps_addr_v6(ip, 7);
        inet_ntop(AF_INET6, ip, text, sizeof text);
        snprintf(wanted, sizeof wanted, "[%s]:7", text);
        ck_assert_str_eq(pps_addr_text(&a, ours), wanted);
    }
}
END_TEST

START_TEST(errno_is_untouched)
{
    struct pps_addr a = addr("2001:db8::7", 4711), read;
    struct sockaddr_storage out;
    char text[PPS_ADDR_TEXT];
    socklen_t len;

    errno = ENOTNAM;
    len = pps_addr_to_sockaddr(&a, AF_INET6, &out);
    pps_addr_from_sockaddr(&read, (struct sockaddr *)&out, len);
    pps_addr_from_sockaddr(&read, (struct sockaddr *)&out, 1);
    pps_addr_text(&a, text);
    ck_assert_int_eq(errno, ENOTNAM);
}
END_TEST

Suite *suite_addr(void)
{
    Suite *s = suite_create("addr");
    TCase *t = tcase_create("addr");

    tcase_add_test(t, ipv4_is_its_mapped_form);
    tcase_add_test(t, ipv4_sockaddr_is_read);
    tcase_add_test(t, ipv6_sockaddr_is_read_from_any_alignment);
    tcase_add_test(t, sockaddr_too_short_for_its_family_is_refused);
    tcase_add_test(t, sockaddr_of_no_length_is_not_read);
    tcase_add_test(t, sockaddr_of_another_family_is_refused);
    tcase_add_test(t, ipv4_is_written_as_the_kernel_writes_it);
    tcase_add_test(t, ipv4_is_mapped_for_a_dual_stack_socket);
    tcase_add_test(t, ipv6_is_written_whole);
    tcase_add_test(t, ipv6_asked_for_as_ipv4_is_not_cut_short);
    tcase_add_test(t, every_family_is_read_back);
    tcase_add_loop_test(t, kind_of_address_is_known, 0, sizeof kinds / sizeof *kinds);
    tcase_add_loop_test(t, text_is_canonical, 0, sizeof texts / sizeof *texts);
    tcase_add_test(t, text_of_every_run_of_zeros_is_that_of_inet_ntop);
    tcase_add_test(t, errno_is_untouched);
    suite_add_tcase(s, t);
    return s;
}
