/* SPDX-License-Identifier: MIT
 *
 * deferred_accept.c: TCP_DEFER_ACCEPT, which PPSHIM_DEFER_ACCEPT=on sets.
 */
#include "testing.h"
#include <netinet/tcp.h>

static int deferred(int l)
{
    int seconds = -1;
    socklen_t length = sizeof seconds;
    IS(0, getsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, &length));
    return seconds;
}

static void listener_is_not_deferred_unless_told(void)
{
    IS(0, deferred(listener(0)));
}

/* With PPSHIM_DEFER_ACCEPT=on. */
static void deferred_listener_leaves_silent_peers_to_the_kernel(void)
{
    int l = listener(0);
    struct watch w = watching(POLL, l);
    MUST(deferred(l) > 0);
    warm(l);
    int before = open_fds();
    struct client silent = dial(l);
    IS(0, wait_for(&w, MOMENT));
    MUST(!in_kernel_queue(l));
    IS(before + 1, open_fds());
    struct client c = introduced(l);
    IS(1, wait_for(&w, LONG));
    accepts(l, &c);
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
}

static const struct test cases[] = {
    CASE(listener_is_not_deferred_unless_told),
    CASE(deferred_listener_leaves_silent_peers_to_the_kernel),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
