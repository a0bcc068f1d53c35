/* SPDX-License-Identifier: MIT
 *
 * own_descriptors.c: the server puts descriptors of its own in the place of the library's, while threads share a
 * blocking accept and wait for their turn.
 */
#include "testing.h"
#include <sys/stat.h>

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

static void add_kernel_object(int fd, const char *what, void *numbers)
{
    struct numbers *n = numbers;
    if (strncmp(what, "anon_inode:", 11) == 0 && n->count < 64)
        n->fd[n->count++] = fd;
}

/* The library's descriptors: those that are no files and that this program did not make. */
static struct numbers kernel_objects(void)
{
    struct numbers n = {.count = 0};
    descriptors(add_kernel_object, &n);
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
        thread_given(a, &c);
    }
    if (silent->fd >= 0) {
        introduce(silent);
        thread_given(a, silent);
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

/* One that shares its listener with others waits in another way, and has more of the library's. */
static void replaced_one_by_one(enum put how)
{
    for (int i = 0, count = 1; i < count; i++) {
        struct accepter a[THREADS];
        int l = listener(0), own = empty_file();
        struct client silent = begin_to_share(a, l, true);
        struct numbers ours = kernel_objects();
        step = put_names[how];
        MUST((count = ours.count) >= 3); /* two epolls and a timer, at least */
        put_in_place(own, ours.fd[i], how);
        everybody_is_served(a, l, &silent);
        MUST(fcntl(ours.fd[i], F_GETFD) >= 0 && close(ours.fd[i]) == 0 && close(l) == 0 && close(own) == 0);
    }
}

static void process_among_others_is_served_when_a_file_takes_the_place_of_any_descriptor_of_the_librarys(void)
{
    for (enum put how = BY_DUP2; how <= BY_DUP3; how++) {
        pid_t child = fork();
        if (child == 0) {
            replaced_one_by_one(how);
            _exit(0);
        }
        ended_well(child);
    }
}

/* Whoever comes to be served then, no byte of the library's gets into it. */
static void file_in_the_place_of_a_descriptor_of_the_librarys_stays_as_it_is(void)
{
    static struct accepter of_round[2 * PUTS][THREADS]; /* a thread of one may be left in the next */
    for (int round = 0; round < 2 * PUTS; round++) {
        struct accepter *a = of_round[round];
        enum put how = round / 2;
        int l = listener(0), file = empty_file();
        struct client silent = begin_to_share(a, l, round & 1);
        struct numbers ours = kernel_objects();
        step = put_names[how];
        for (int i = 0; i < ours.count; i++)
            put_in_place(file, ours.fd[i], how);
        IS(0, size_of(file));
        struct client c = introduced(l); /* one thread leaves, and another's turn comes */
        thread_given(a, &c);
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

static const struct test cases[] = {
    CASE(threads_are_served_when_a_file_takes_the_place_of_a_descriptor_of_the_librarys),
    CASE(threads_are_served_when_a_pipe_takes_the_place_of_a_descriptor_of_the_librarys),
    CASE(process_among_others_is_served_when_a_file_takes_the_place_of_any_descriptor_of_the_librarys),
    CASE(file_in_the_place_of_a_descriptor_of_the_librarys_stays_as_it_is),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
