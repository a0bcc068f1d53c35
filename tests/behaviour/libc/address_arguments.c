/* SPDX-License-Identifier: MIT
 *
 * address_arguments.c: the address and length that accept and getpeername are given, by what a caller passes.
 */
#include "testing.h"

#define FILLER 0xaa

static void accept_without_an_address(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    accepts(l, &c);
}

static void null_address_leaves_the_length_alone(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    socklen_t length = 77;
    int fd = accept(l, NULL, &length);
    MUST(fd >= 0 && length == 77);
    MUST(works(fd, &c));
}

static void whole_address_and_its_length(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = accept(l, (struct sockaddr *)&address, &length);
    MUST(fd >= 0);
    TELLS(&c, &address, length);
}

static void copies_what_fits(int family_length, bool by_getpeername, int l)
{
    for (int room = 0; room <= family_length + 4; room++) {
        struct client c = introduced(l);
        unsigned char address[64], expected[64];
        socklen_t length = (socklen_t)room;
        memset(address, FILLER, sizeof address);
        memset(expected, FILLER, sizeof expected);
        int fd = accept(l, by_getpeername ? NULL : (struct sockaddr *)address, by_getpeername ? NULL : &length);
        MUST(fd >= 0);
        if (by_getpeername)
            MUST(getpeername(fd, (struct sockaddr *)address, &length) == 0);
        const void *whole = family_length == sizeof c.in ? (void *)&c.in : (void *)&c.in6;
        memcpy(expected, whole, (size_t)(room < family_length ? room : family_length));
        if ((int)length != family_length || memcmp(address, expected, sizeof address) != 0)
            fail(__LINE__, "room for %d bytes: length %u or bytes wrong", room, length);
        hang_up(&c, fd);
    }
}

static void short_address_gets_what_fits_and_the_full_length(void)
{
    copies_what_fits(sizeof(struct sockaddr_in), false, listener(0));
}

static void short_ipv6_address_gets_what_fits_and_the_full_length(void)
{
    copies_what_fits(sizeof(struct sockaddr_in6), false, listener_of(DUAL_STACK, 0));
}

static void getpeername_copies_what_fits_and_tells_the_full_length(void)
{
    copies_what_fits(sizeof(struct sockaddr_in), true, listener(0));
}

static void getpeername_copies_what_fits_of_an_ipv6_address(void)
{
    copies_what_fits(sizeof(struct sockaddr_in6), true, listener_of(DUAL_STACK, 0));
}

/* The kernel has taken a connection by then and drops it: so the client after it is asked about. */
static void bad_address_arguments(int error, bool null_length)
{
    int l = listener(0);
    struct client first = introduced(l), second = introduced(l);
    struct sockaddr_storage address;
    socklen_t length = (socklen_t)-1;
    FAILS_WITH(error, accept(l, (struct sockaddr *)&address, null_length ? NULL : &length));
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(works(fd, &second) || works(fd, &first));
    length = (socklen_t)-1;
    FAILS_WITH(error, getpeername(fd, (struct sockaddr *)&address, null_length ? NULL : &length));
}

static void negative_length_is_einval(void)
{
    bad_address_arguments(EINVAL, false);
}

static void address_without_a_length_is_efault(void)
{
    bad_address_arguments(EFAULT, true);
}

static const struct test cases[] = {
    CASE(accept_without_an_address),
    CASE(null_address_leaves_the_length_alone),
    CASE(whole_address_and_its_length),
    CASE(short_address_gets_what_fits_and_the_full_length),
    CASE(short_ipv6_address_gets_what_fits_and_the_full_length),
    CASE(getpeername_copies_what_fits_and_tells_the_full_length),
    CASE(getpeername_copies_what_fits_of_an_ipv6_address),
    CASE(negative_length_is_einval),
    CASE(address_without_a_length_is_efault),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
