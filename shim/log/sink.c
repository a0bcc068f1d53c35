/* SPDX-License-Identifier: MIT
 *
 * sink.c: where lines are written (sink.h).
 *
 * Every target is opened, written and closed line by line: servers close descriptors they do not know, and a number
 * kept from start could be a client's by now.
 */
#include "sink.h"
#include "journald.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <ppshim/real.h>
#include <ppshim/sockopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static enum pps_log_target target = PPS_LOG_AUTO;
static const char *path;
static bool journal_at_start;
static bool stderr_at_start;     /* fd 2 was open and led somewhere where lines belong */
static bool stderr_was_a_client; /* a connection that this process was started to serve */
static dev_t stderr_dev;
static ino_t stderr_ino;

/* --- targets: each returns whether the line went out or was lost on purpose (a full pipe) --- */

/* A write to a pipe whose reader is gone must neither kill the server nor leave a signal pending. */
static ssize_t write_without_sigpipe(int fd, const char *text, size_t length)
{
    sigset_t pipe_only, before, pending;
    static const struct timespec at_once;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t n = write(fd, text, length);
    if (n < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_only, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n;
}

/* A descriptor that would block loses the line. */
static bool writable_now(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return real_poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

static bool leads_nowhere(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3); /* /dev/null */
}

static bool to_descriptor(int fd, const struct pps_line *l)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if (S_ISSOCK(st.st_mode))
        return send(fd, l->text, l->length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
    if (!S_ISREG(st.st_mode) && !writable_now(fd))
        return true;
    return write_without_sigpipe(fd, l->text, l->length) >= 0;
}

static bool is_file(int fd, dev_t dev, ino_t ino)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static bool stderr_unchanged(void)
{
    return is_file(STDERR_FILENO, stderr_dev, stderr_ino);
}

static bool to_stderr(const struct pps_line *l)
{
    return !(stderr_was_a_client && stderr_unchanged()) && to_descriptor(STDERR_FILENO, l);
}

static bool to_file(const struct pps_line *l)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return false;
    bool done = to_descriptor(fd, l);
    real_close(fd);
    return done;
}

static bool send_datagram(const char *socket_path, struct iovec *parts, size_t count)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    memcpy(sun.sun_path, socket_path, strlen(socket_path));
    struct msghdr m = {.msg_name = &sun, .msg_namelen = sizeof sun, .msg_iov = parts, .msg_iovlen = count};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool done = sendmsg(fd, &m, MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
    real_close(fd);
    return done;
}

/* RFC 3164 as syslog(3) writes it: facility daemon (3), no time (the receiver's own is as good). */
static bool to_syslog(enum pps_log_level level, const struct pps_line *l)
{
    static const char *const priority[] = {"<27>", "<29>", "<30>", "<31>"};
    struct iovec parts[] = {{(void *)priority[level], 4}, {(void *)l->text, l->length - 1}};
    return send_datagram("/dev/log", parts, 2);
}

static bool to_journal(enum pps_log_level level, const struct pps_line *l)
{
    struct pps_journald datagram;
    pps_journald_from(&datagram, level, l);
    struct iovec whole = {datagram.bytes, datagram.length};
    return send_datagram("/run/systemd/journal/socket", &whole, 1);
}

static void to_auto(enum pps_log_level level, const struct pps_line *l)
{
    if (journal_at_start && to_journal(level, l))
        return;
    if (stderr_at_start && stderr_unchanged() && to_stderr(l))
        return;
    to_syslog(level, l);
}

/* Said once: what comes now goes elsewhere. */
static void tell_fallback(int why)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&told))
        return;
    struct pps_line l;
    pps_line_begin(&l, "log-fallback");
    pps_line_foreign(&l, "path", path, strlen(path));
    pps_line_errno(&l, "why", why);
    pps_line_end(&l);
    to_auto(PPS_LOG_ERROR, &l);
}

static bool to_chosen(enum pps_log_level level, const struct pps_line *l)
{
    switch (target) {
    case PPS_LOG_STDERR:
        return to_stderr(l);
    case PPS_LOG_SYSLOG:
        return to_syslog(level, l);
    case PPS_LOG_JOURNAL:
        return to_journal(level, l);
    case PPS_LOG_FILE:
        if (to_file(l))
            return true;
        tell_fallback(errno);
        return false;
    case PPS_LOG_AUTO:
        break;
    }
    return false;
}

/* --- where lines may go --- */

/* "DEVICE:INODE", of the socket by which systemd gave the journal as standard output or error (systemd.exec(5)). */
static bool is_journal_stream(const struct stat *st, const char *journal_stream)
{
    char *end;
    if (!journal_stream || strtoull(journal_stream, &end, 10) != st->st_dev || *end != ':')
        return false;
    return strtoull(end + 1, &end, 10) == st->st_ino && !*end;
}

/* inetd and its like give a service its client as 0, 1 and 2. A Unix socket that is fd 2 alone comes from a supervisor
   that reads what it is told there. */
static bool is_a_client(const struct stat *st, const char *journal_stream)
{
    if (!S_ISSOCK(st->st_mode) || is_journal_stream(st, journal_stream))
        return false;
    int domain = pps_sockopt(STDERR_FILENO, SOL_SOCKET, SO_DOMAIN);
    return domain != AF_UNIX || is_file(STDIN_FILENO, st->st_dev, st->st_ino) ||
           is_file(STDOUT_FILENO, st->st_dev, st->st_ino);
}

static void look_at_stderr(const char *journal_stream)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0)
        return;
    stderr_dev = st.st_dev;
    stderr_ino = st.st_ino;
    stderr_was_a_client = is_a_client(&st, journal_stream);
    stderr_at_start = !stderr_was_a_client && !leads_nowhere(&st);
}

/* What took the place of fd 2 since start is believed to be the server's own log if it is appended to, or no file at
   all: never a data file, nor a client. */
static bool takes_last_words(const struct stat *st)
{
    if (leads_nowhere(st))
        return false;
    if (stderr_unchanged())
        return true;
    return S_ISREG(st->st_mode) ? fcntl(STDERR_FILENO, F_GETFL) & O_APPEND
                                : S_ISFIFO(st->st_mode) || S_ISCHR(st->st_mode);
}

/* --- what others call --- */

void pps_sink_start(const struct pps_config *config, const char *journal_stream)
{
    journal_at_start = journal_stream && *journal_stream;
    look_at_stderr(journal_stream);
    if (!config)
        return;
    target = config->log_target;
    path = config->log_path;
}

void pps_sink_write(enum pps_log_level level, const struct pps_line *l)
{
    if (!to_chosen(level, l))
        to_auto(level, l);
}

void pps_sink_write_last(const struct pps_line *l)
{
    struct stat st;
    if (fstat(STDERR_FILENO, &st) != 0 || !takes_last_words(&st) || !to_stderr(l))
        to_syslog(PPS_LOG_ERROR, l);
}
