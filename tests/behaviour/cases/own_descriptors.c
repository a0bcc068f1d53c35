/* SPDX-License-Identifier: MIT
 *
 * own_descriptors.c: threads that share a blocking accept and wait for their turn, while the server closes the listener
 * where nobody sees it, or puts descriptors of its own in the place of the library's.
 *
 * `own_descriptors NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list`
 * prints the names. The clients are 127.0.0.2, which the environment must trust, with PPSHIM_TIMEOUT long enough that
 * nobody runs out of it.
 */
#include "testing.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

enum { THREADS = 3 };

struct accepter {
    pthread_t thread;
    _Atomic pid_t tid;
    int listener, fd, error, stat;
    bool joined;
};

static void *accept_one(void *accepter)
{
    struct accepter *a = accepter;
    a->tid = gettid();
    a->fd = accept(a->listener, NULL, NULL);
    a->error = errno;
    return NULL;
}

static void all_asleep(const struct accepter a[THREADS])
{
    for (int i = 0; i < THREADS; i++)
        if (!a[i].joined)
            until_asleep(a[i].stat);
}

static void block_in_accept(struct accepter a[THREADS], int l)
{
    for (int i = 0; i < THREADS; i++) {
        char path[64];
        a[i] = (struct accepter){.listener = l};
        IS(0, pthread_create(&a[i].thread, NULL, accept_one, &a[i]));
        while (!a[i].tid)
            usleep(200);
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", a[i].tid);
        a[i].stat = open(path, O_RDONLY | O_CLOEXEC);
        MUST(a[i].stat >= 0);
        until_asleep(a[i].stat);
    }
}

static bool has_ended(const struct accepter *a)
{
    return syscall(SYS_tgkill, getpid(), a->tid, 0) != 0;
}

static void join_one(struct accepter *a)
{
    IS(0, pthread_join(a->thread, NULL));
    MUST(syscall(SYS_close, a->stat) == 0);
    a->joined = true;
}

/* `waiting`: a silent peer is there, so that there is more of the library's to be replaced. */
static struct client begin_to_share(struct accepter a[THREADS], int l, bool waiting)
{
    struct client silent = {.fd = -1};
    warm(l);
    if (waiting)
        silent = parked(l);
    block_in_accept(a, l);
    all_asleep(a);
    return silent;
}

/* The thread whose accept gave this client. */
static void is_given(struct accepter a[THREADS], const struct client *c)
{
    for (;; usleep(200)) {
        for (int i = 0; i < THREADS; i++) {
            if (a[i].joined || !has_ended(&a[i]))
                continue;
            join_one(&a[i]);
            if (a[i].fd < 0)
                fail(__LINE__, "thread %d: accept failed with %d", i, a[i].error);
            MUST(works(a[i].fd, c));
            MUST(close(a[i].fd) == 0 && close(c->fd) == 0);
            return;
        }
    }
}

/* --- the library's descriptors: those that are no files and that this program did not make --- */

struct numbers {
    int fd[64], count;
};

static struct numbers kernel_objects(void)
{
    struct numbers n = {.count = 0};
    DIR *list = opendir("/proc/self/fd");
    MUST(list);
    for (struct dirent *entry; (entry = readdir(list)) && n.count < 64;) {
        char what[64];
        ssize_t length = readlinkat(dirfd(list), entry->d_name, what, sizeof what - 1);
        what[length < 0 ? 0 : length] = 0;
        if (strncmp(what, "anon_inode:", 11) == 0)
            n.fd[n.count++] = atoi(entry->d_name);
    }
    MUST(closedir(list) == 0);
    return n;
}

enum put { BY_DUP2, BY_DUP3, BY_A_RAW_CALL, PUTS };
static const char *const put_names[] = {"dup2", "dup3", "a raw dup2"};

static void put_in_place(int from, int to, enum put how)
{
    IS(to, how == BY_DUP2   ? dup2(from, to)
           : how == BY_DUP3 ? dup3(from, to, O_CLOEXEC)
                            : (int)syscall(SYS_dup3, from, to, O_CLOEXEC));
}

static off_t size_of(int file)
{
    struct stat st;
    IS(0, fstat(file, &st));
    return st.st_size;
}

static int empty_file(void)
{
    char path[] = "/tmp/own_descriptors.XXXXXX";
    int file = mkstemp(path);
    MUST(file >= 0 && unlink(path) == 0);
    return file;
}

/* A file is always readable; a pipe to which nobody writes never is. */
static int never_readable(void)
{
    int ends[2];
    IS(0, pipe(ends));
    return ends[0];
}

static void everybody_is_served(struct accepter a[THREADS], int l, const struct client *silent)
{
    for (int i = silent->fd >= 0; i < THREADS; i++) {
        struct client c = introduced(l);
        is_given(a, &c);
    }
    if (silent->fd >= 0) {
        introduce(silent);
        is_given(a, silent);
    }
}

static void replaced_by(int (*make)(void), bool all_at_once)
{
    for (int round = 0; round < 2 * BY_A_RAW_CALL; round++) {
        struct accepter a[THREADS];
        bool waiting = round & 1;
        enum put how = round / 2;
        int l = listener(0), own = make();
        struct client silent = begin_to_share(a, l, waiting);
        struct numbers ours = kernel_objects();
        step = put_names[how];
        for (int i = 0; i < ours.count; i++) {
            put_in_place(own, ours.fd[i], how);
            if (!all_at_once)
                break;
        }
        everybody_is_served(a, l, &silent);
        MUST(close(l) == 0);
        for (int i = 0; i < ours.count && (all_at_once || i < 1); i++)
            MUST(fcntl(ours.fd[i], F_GETFD) >= 0 && close(ours.fd[i]) == 0);
        MUST(close(own) == 0);
    }
}

static void threads_are_served_when_a_file_takes_the_place_of_a_descriptor_of_the_librarys(void)
{
    replaced_by(empty_file, false);
    replaced_by(empty_file, true);
}

static void threads_are_served_when_a_pipe_takes_the_place_of_a_descriptor_of_the_librarys(void)
{
    replaced_by(never_readable, false);
    replaced_by(never_readable, true);
}

/* Whoever comes to be served then, no byte of the library's gets into it. */
static void file_in_the_place_of_a_descriptor_of_the_librarys_stays_as_it_is(void)
{
    for (int round = 0; round < 2 * PUTS; round++) {
        struct accepter a[THREADS];
        enum put how = round / 2;
        int l = listener(0), file = empty_file();
        struct client silent = begin_to_share(a, l, round & 1);
        struct numbers ours = kernel_objects();
        step = put_names[how];
        for (int i = 0; i < ours.count; i++)
            put_in_place(file, ours.fd[i], how);
        IS(0, size_of(file));
        struct client c = introduced(l); /* one thread leaves, and another's turn comes */
        is_given(a, &c);
        IS(0, size_of(file));
        IS(0, shutdown(l, SHUT_RDWR));
        for (int i = 0; i < THREADS && how != BY_A_RAW_CALL; i++)
            if (!a[i].joined)
                join_one(&a[i]);
        IS(0, size_of(file));
        if (how != BY_A_RAW_CALL) /* else threads may be left that know it by its number */
            MUST(close(l) == 0);
        MUST(silent.fd < 0 || close(silent.fd) == 0);
    }
}

/* --- cases: a listener whose close nobody saw --- */

static int ended(const struct accepter a[THREADS])
{
    int count = 0;
    for (int i = 0; i < THREADS; i++)
        count += has_ended(&a[i]);
    return count;
}

/* A client of the port on which one of them may be in the kernel's accept, though the listener is closed; it may also
   be gone altogether. */
static void last_client_of(const struct sockaddr_in *to)
{
    static const char header[] = "PROXY TCP4 203.0.113.7 192.0.2.10 4711 3306\r\n";
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    IS(0, bind(fd, (struct sockaddr *)&from, sizeof from));
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        MUST(write(fd, header, sizeof header - 1) == sizeof header - 1 || errno == EPIPE || errno == ECONNRESET);
    else
        IS(ECONNREFUSED, errno);
}

/* `use` makes something else of the number; a listener is what it returns, for those who go over to it. */
static void all_end(bool waiting, int (*use)(int number))
{
    struct accepter a[THREADS];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, own;
    socklen_t length = sizeof own;
    int l = listener(0);
    MUST(getsockname(l, (struct sockaddr *)&own, &length) == 0);
    to.sin_port = own.sin_port;
    begin_to_share(a, l, waiting);
    MUST(syscall(SYS_close, l) == 0);
    int next = use(l);
    last_client_of(&to);
    for (int clients = 0; ended(a) < THREADS; usleep(200))
        if (next >= 0 && clients++ < THREADS)
            introduced(next);
    for (int i = 0; i < THREADS; i++) {
        join_one(&a[i]);
        MUST(a[i].fd >= 0 || a[i].error == EBADF || a[i].error == EINVAL || a[i].error == ENOTSOCK);
    }
    syscall(SYS_close, l);
}

static int leave_unused(int number)
{
    (void)number;
    return -1;
}

static void tell_of(int number)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    control(epoll, EPOLL_CTL_ADD, number, EPOLLIN, TOKEN);
    MUST(close(epoll) == 0);
}

static int use_for_a_client(int number)
{
    int ends[2];
    IS(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    IS(number, ends[0]);
    tell_of(number);
    return -1;
}

static int use_for_an_event(int number)
{
    IS(number, eventfd(0, EFD_CLOEXEC));
    tell_of(number);
    return -1;
}

static int use_for_a_listener(int number)
{
    IS(number, listener(0));
    return number;
}

static void threads_on_a_listener_whose_close_was_not_seen_end(void)
{
    all_end(false, leave_unused);
}

static void threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_a_clients(void)
{
    all_end(false, use_for_a_client);
    all_end(true, use_for_a_client);
}

static void threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_no_sockets(void)
{
    all_end(false, use_for_an_event);
    all_end(true, use_for_an_event);
}

static void threads_on_a_listener_whose_close_was_not_seen_end_or_go_over_to_the_next(void)
{
    all_end(false, use_for_a_listener);
    all_end(true, use_for_a_listener);
}

/* --- */

static const struct hazard cases[] = {
    CASE(threads_are_served_when_a_file_takes_the_place_of_a_descriptor_of_the_librarys),
    CASE(threads_are_served_when_a_pipe_takes_the_place_of_a_descriptor_of_the_librarys),
    CASE(file_in_the_place_of_a_descriptor_of_the_librarys_stays_as_it_is),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_a_clients),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end_when_its_number_is_no_sockets),
    CASE(threads_on_a_listener_whose_close_was_not_seen_end_or_go_over_to_the_next),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases, argc, argv);
}
