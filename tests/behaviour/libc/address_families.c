/* SPDX-License-Identifier: MIT
 *
 * address_families.c: how clients are told on listeners of either family, dual-stack or not.
 */
#include "testing.h"

static void dual_stack_listener_tells_ipv4_as_mapped(void)
{
    int l = listener_of(DUAL_STACK, 0);
    struct client c = introduced(l);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = accept(l, (struct sockaddr *)&address, &length);
    MUST(fd >= 0);
    TELLS6(&c, &address, length);
    length = sizeof address;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    TELLS6(&c, &address, length);
}

/* --- from here on with headers only: the kernel alone has no such clients --- */

static int accept_client(int l, struct client *c, struct sockaddr_storage *address, socklen_t *length)
{
    introduce(c);
    *length = sizeof *address;
    int fd = accept(l, (struct sockaddr *)address, length);
    MUST(fd >= 0);
    return fd;
}

static void v6only_listener_tells_ipv4_as_ipv4(void)
{
    int l = listener_of(V6ONLY, 0);
    struct client c = dial_from(INADDR_LOOPBACK + 1, l, "203.0.113.7", true);
    struct sockaddr_storage address;
    socklen_t length;
    int fd = accept_client(l, &c, &address, &length);
    TELLS(&c, &address, length);
    MUST(peer_is(fd, &c.in));
}

static void ipv6_client_on_an_ipv6_listener(enum kind kind)
{
    int l = listener_of(kind, 0);
    struct client c = dial_from(INADDR_LOOPBACK + 1, l, "2001:db8::7", true);
    struct sockaddr_storage address;
    socklen_t length;
    int fd = accept_client(l, &c, &address, &length);
    TELLS6(&c, &address, length);
    length = sizeof address;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    TELLS6(&c, &address, length);
}

static void v6only_listener_tells_ipv6_as_ipv6(void)
{
    ipv6_client_on_an_ipv6_listener(V6ONLY);
}

static void dual_stack_listener_tells_ipv6_as_ipv6(void)
{
    ipv6_client_on_an_ipv6_listener(DUAL_STACK);
}

static void ipv6_client_on_an_inet_listener_with_room(void)
{
    int l = listener(0);
    struct client c = dial_from(INADDR_LOOPBACK + 1, l, "2001:db8::7", false);
    struct sockaddr_storage address;
    socklen_t length;
    accept_client(l, &c, &address, &length);
    TELLS6(&c, &address, length);
}

static void ipv6_client_on_an_inet_listener_without_room_is_closed(void)
{
    for (socklen_t room = 0; room < sizeof(struct sockaddr_in6); room += 4) {
        int l = listener(0);
        struct client six = dial_from(INADDR_LOOPBACK + 1, l, "2001:db8::7", false);
        introduce(&six);
        struct client c = introduced(l);
        struct sockaddr_storage address;
        socklen_t length = room;
        int fd = accept(l, (struct sockaddr *)&address, &length);
        char byte;
        MUST(fd >= 0);
        MUST(length == sizeof c.in);
        MUST(peer_is(fd, &c.in));
        MUST(read(six.fd, &byte, 1) <= 0);
        hang_up(&c, fd);
        MUST(close(six.fd) == 0 && close(l) == 0);
    }
}

static void getpeername_of_an_ipv6_client_on_an_inet_listener(void)
{
    int l = listener(0);
    struct client c = dial_from(INADDR_LOOPBACK + 1, l, "2001:db8::7", false);
    struct sockaddr_storage address;
    introduce(&c);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    socklen_t length = sizeof address;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    TELLS6(&c, &address, length);
    for (length = 0; length < sizeof c.in6; length++) {
        socklen_t room = length;
        FAILS_WITH(ENOBUFS, getpeername(fd, (struct sockaddr *)&address, &room));
    }
    length = sizeof c.in6;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    TELLS6(&c, &address, length);
}

static void mapped_ipv6_client_is_an_ipv4_client(void)
{
    int l = listener(0);
    struct client c = dial(l);
    /* in hexadecimal: a dotted field is not allowed in TCP6 */
    MUST(dprintf(c.fd, "PROXY TCP6 ::ffff:cb00:7107 2001:db8::10 %u 3306\r\n", ntohs(c.in.sin_port)) > 0);
    accepts(l, &c);
}

static const struct test cases[] = {
    CASE(dual_stack_listener_tells_ipv4_as_mapped),
    CASE_OF_HEADERS(v6only_listener_tells_ipv4_as_ipv4),
    CASE_OF_HEADERS(v6only_listener_tells_ipv6_as_ipv6),
    CASE_OF_HEADERS(dual_stack_listener_tells_ipv6_as_ipv6),
    CASE_OF_HEADERS(ipv6_client_on_an_inet_listener_with_room),
    CASE_OF_HEADERS(ipv6_client_on_an_inet_listener_without_room_is_closed),
    CASE_OF_HEADERS(getpeername_of_an_ipv6_client_on_an_inet_listener),
    CASE_OF_HEADERS(mapped_ipv6_client_is_an_ipv4_client),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
