/* SPDX-License-Identifier: MIT
 *
 * accept_threads.c: several threads that block in accept on one listener: how they end, what signals do, and who is
 * left when some are cancelled.
 */
#include "hold.h"
#include "testing.h"

static void shutdown_ends_accept_in_every_thread(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        int l = listener(0);
        struct client silent = one_silent(a, l, before);
        IS(0, shutdown(l, SHUT_RDWR));
        all_end_with(a, EINVAL);
        MUST(close(l) == 0);
        is_closed(&silent);
    }
}

static void receive_timeout_bounds_accept_in_every_thread(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        struct timeval t = {.tv_sec = 1}; /* all of them sleep before that is over for the first */
        int l = listener(0);
        IS(0, setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
        one_silent(a, l, before);
        for (int i = 0; i < THREADS; i++) {
            join_one(&a[i]);
            MUST(a[i].fd == -1 && a[i].error == EAGAIN);
            if (a[i].took < 999)
                fail(__LINE__, "1 s took thread %d %ld ms", i, a[i].took);
        }
    }
}

static void handlers_that_restart_end_accept_in_no_thread(void)
{
    for (int before = 0; before < 2; before++) {
        struct accepter a[THREADS];
        int l = listener(0);
        struct client silent = one_silent(a, l, before);
        handle_usr1(count_signal, SA_RESTART);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < THREADS; i++)
                IS(0, pthread_kill(a[i].thread, SIGUSR1));
            all_asleep(a);
        }
        struct client c = introduced(l);
        thread_given(a, &c);
        speak(&silent);
        thread_given(a, &silent);
        c = introduced(l);
        thread_given(a, &c);
    }
}

static void handlers_that_do_not_restart_end_accept_in_the_thread_they_ran_in(void)
{
    for (int victim = 0; victim < THREADS; victim++) {
        struct accepter a[THREADS];
        int l = listener(0);
        struct client silent = one_silent(a, l, true);
        handle_usr1(count_signal, 0);
        IS(0, pthread_kill(a[victim].thread, SIGUSR1));
        join_one(&a[victim]);
        MUST(a[victim].fd == -1 && a[victim].error == EINTR);
        struct client c = introduced(l);
        thread_given(a, &c);
        speak(&silent);
        thread_given(a, &silent);
    }
}

/* Who is cancelled may be the one that watches for the others. */
static void cancelled(bool before, unsigned victims, bool late_first)
{
    struct accepter a[THREADS];
    int l = listener(0), left = 0;
    static char text[80];
    struct client silent = one_silent(a, l, before), other = taken_in_accept(l);
    all_asleep(a); /* glibc 2.36 loses a connection that comes to accept together with the cancellation */
    snprintf(text, sizeof text, "%s, victims %#x, %s", step, victims, late_first ? "late first" : "live first");
    step = text;
    for (int i = 0; i < THREADS; i++) {
        if (!(victims >> i & 1)) {
            left++;
            continue;
        }
        IS(0, pthread_cancel(a[i].thread));
        join_one(&a[i]);
    }
    all_asleep(a);
    if (late_first) {
        speak(&silent);
        thread_given(a, &silent);
    } else {
        struct client c = introduced(l);
        thread_given(a, &c);
    }
    if (left > 1) {
        struct client c = late_first ? introduced(l) : silent;
        if (!late_first)
            speak(&silent);
        thread_given(a, &c);
    }
    speak(&other);
    if (!late_first && left == 1)
        speak(&silent);
    for (int i = 0; i < 1 + (!late_first && left == 1); i++) {
        int fd = accept(l, NULL, NULL);
        MUST(works(fd, &other) || works(fd, &silent));
    }
    MUST(close(l) == 0);
}

static void threads_that_are_left_after_a_cancellation_are_served(void)
{
    for (unsigned victims = 1; victims < 7; victims++)
        for (int late_first = 0; late_first < 2; late_first++)
            cancelled(true, victims, late_first);
}

static void threads_that_are_left_after_a_cancellation_serve_live_clients(void)
{
    for (unsigned victims = 1; victims < 7; victims++)
        cancelled(false, victims, false);
}

static void note_signals(void *set)
{
    pthread_sigmask(SIG_SETMASK, NULL, set);
}

struct leaver {
    int listener;
    sigset_t at_the_end;
};

static void *accept_cancelled(void *leaver)
{
    struct leaver *v = leaver;
    pthread_cleanup_push(note_signals, &v->at_the_end);
    IS(0, pthread_cancel(pthread_self()));
    accept(v->listener, NULL, NULL);
    pthread_cleanup_pop(0);
    return NULL;
}

/* The library holds them back while it watches the peer. */
static void cancelled_threads_own_handlers_find_its_signals_as_they_were(void)
{
    pthread_t thread;
    void *end;
    struct leaver v = {.listener = listener(0)};
    warm(v.listener);
    parked(v.listener);
    sigfillset(&v.at_the_end);
    IS(0, pthread_create(&thread, NULL, accept_cancelled, &v));
    MUST(pthread_join(thread, &end) == 0 && end == PTHREAD_CANCELED);
    IS(0, sigismember(&v.at_the_end, SIGUSR1));
}

static bool in_the_real_accept(const struct accepter *a)
{
    char path[64], text[16] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", a->tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && close(fd) == 0);
    return atoi(text) == SYS_accept4;
}

/* The others were in the kernel's accept when the peer came, and stay there when its watcher goes. */
static void late_peer_is_served_although_its_watcher_was_cancelled(void)
{
    struct accepter a[THREADS];
    int l = listener(0), watcher = 0;
    struct client silent = one_silent(a, l, false);
    while (watcher < THREADS && in_the_real_accept(&a[watcher]))
        watcher++;
    MUST(watcher < THREADS);
    IS(0, pthread_cancel(a[watcher].thread));
    join_one(&a[watcher]);
    all_asleep(a);
    speak(&silent);
    thread_given(a, &silent);
}

/* Accepts, and stops where it first parks somebody. */
struct parker {
    struct accepter accepter;
    _Atomic int held;
};

static void *accept_and_stop(void *parker)
{
    struct parker *p = parker;
    p->held = hold_at(SYS_epoll_create1, SYS_epoll_create1);
    return accept_one(&p->accepter);
}

static void late_peer_is_served_although_its_thread_left_while_another_came(void)
{
    int l = listener(0);
    struct accepter next;
    struct parker first = {.accepter.listener = l};
    warm(l);
    IS(0, pthread_create(&first.accepter.thread, NULL, accept_and_stop, &first));
    struct client silent = dial(l),
                  live = introduced(l); /* or, on a slow machine, it is parked before: then the thread leads on */
    while (!first.held)
        usleep(200);
    until_held(first.held);
    block_one_in_accept(&next, l);
    let_go(first.held);
    IS(0, pthread_join(first.accepter.thread, NULL));
    MUST(works(first.accepter.fd, &live));
    speak(&silent);
    join_one(&next);
    MUST(works(next.fd, &silent));
}

static const struct test cases[] = {
    CASE(shutdown_ends_accept_in_every_thread),
    CASE(receive_timeout_bounds_accept_in_every_thread),
    CASE(handlers_that_restart_end_accept_in_no_thread),
    CASE(handlers_that_do_not_restart_end_accept_in_the_thread_they_ran_in),
    CASE(threads_that_are_left_after_a_cancellation_are_served),
    CASE(threads_that_are_left_after_a_cancellation_serve_live_clients),
    CASE(cancelled_threads_own_handlers_find_its_signals_as_they_were),
    CASE(late_peer_is_served_although_its_watcher_was_cancelled),
    CASE(late_peer_is_served_although_its_thread_left_while_another_came),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
