/* SPDX-License-Identifier: MIT
 *
 * descriptors.c: the number that accept gives, by what there is: wrong descriptors, the lowest number, copies of a
 * listener, none left.
 */
#include "testing.h"

static void bad_descriptor_is_ebadf(void)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    FAILS_WITH(EBADF, accept(-1, NULL, NULL));
    FAILS_WITH(EBADF, accept4(1000, NULL, NULL, SOCK_CLOEXEC));
    FAILS_WITH(EBADF, accept(1 << 30, NULL, NULL));
    FAILS_WITH(EBADF, getpeername(-1, (struct sockaddr *)&address, &length));
    FAILS_WITH(EBADF, getpeername(1000, (struct sockaddr *)&address, &length));
    int l = listener(0);
    MUST(close(l) == 0);
    FAILS_WITH(EBADF, accept(l, NULL, NULL));
}

static void socket_that_does_not_listen_is_einval(void)
{
    int l = listener(0), fresh = socket(AF_INET, SOCK_STREAM, 0);
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0 && fresh >= 0);
    FAILS_WITH(EINVAL, accept(fresh, NULL, NULL));
    FAILS_WITH(EINVAL, accept(fd, NULL, NULL));
    FAILS_WITH(EINVAL, accept(c.fd, NULL, NULL));
}

static void file_is_enotsock(void)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int file = open("/dev/null", O_RDWR);
    MUST(file >= 0);
    FAILS_WITH(ENOTSOCK, accept(file, NULL, NULL));
    FAILS_WITH(ENOTSOCK, getpeername(file, (struct sockaddr *)&address, &length));
}

static void udp_socket_is_eopnotsupp(void)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    MUST(udp >= 0);
    FAILS_WITH(EOPNOTSUPP, accept(udp, NULL, NULL));
}

static void number_of_a_closed_listener_is_reused(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    accepts(l, &c);
    MUST(close(l) == 0);
    MUST(open("/dev/null", O_RDWR) == l);
    FAILS_WITH(ENOTSOCK, accept(l, NULL, NULL));
    MUST(close(l) == 0);
    MUST(listener(0) == l);
    c = introduced(l);
    accepts(l, &c);
}

static void zero_is_a_valid_result(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    MUST(close(0) == 0);
    MUST(accept(l, NULL, NULL) == 0);
    MUST(works(0, &c));
}

static void zero_is_a_valid_listener(void)
{
    MUST(close(0) == 0);
    MUST(listener(0) == 0);
    struct client c = introduced(0);
    accepts(0, &c);
}

static void result_is_the_lowest_free_number(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    int low = dup(l), above = dup(l);
    MUST(low >= 0 && above > low && close(low) == 0);
    MUST(accept(l, NULL, NULL) == low);
    MUST(works(low, &c));
}

static void late_result_is_the_lowest_free_number(void)
{
    int l = listener(0), low = dup(l);
    struct latecomer late;
    MUST(low >= 0);
    come_late(&late, l);
    MUST(close(low) == 0);
    MUST(accept(l, NULL, NULL) == low);
    done(&late.helper);
    MUST(works(low, &late.client));
}

static void dup_of_a_listener_accepts_the_same(void)
{
    int l = listener(0), copy = dup(l), high = dup2(l, 300);
    struct client c = introduced(l);
    accepts(copy, &c);
    c = introduced(l);
    accepts(high, &c);
    MUST(close(l) == 0);
    c = introduced(copy);
    accepts(copy, &c);
}

static void listener_received_over_a_socket_accepts_the_same(void)
{
    int l = listener(0), received = by_message(l);
    struct client c = introduced(l);
    accepts(received, &c);
}

static void emfile_leaves_the_client_for_later(void)
{
    int l = listener(0);
    struct client c = introduced(l);
    struct rlimit full, tight;
    MUST(getrlimit(RLIMIT_NOFILE, &full) == 0);
    int next = dup(l);
    MUST(next >= 0 && close(next) == 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = full.rlim_max};
    MUST(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    FAILS_WITH(EMFILE, accept(l, NULL, NULL));
    MUST(setrlimit(RLIMIT_NOFILE, &full) == 0);
    accepts(l, &c);
}

static const struct test cases[] = {
    CASE(bad_descriptor_is_ebadf),
    CASE(socket_that_does_not_listen_is_einval),
    CASE(file_is_enotsock),
    CASE(udp_socket_is_eopnotsupp),
    CASE(number_of_a_closed_listener_is_reused),
    CASE(zero_is_a_valid_result),
    CASE(zero_is_a_valid_listener),
    CASE(result_is_the_lowest_free_number),
    CASE_OF_HEADERS(late_result_is_the_lowest_free_number),
    CASE(dup_of_a_listener_accepts_the_same),
    CASE(listener_received_over_a_socket_accepts_the_same),
    CASE(emfile_leaves_the_client_for_later),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
