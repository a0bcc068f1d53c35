/* SPDX-License-Identifier: MIT
 *
 * load.c: a client without end, in one thread, that knows no protocol: it sends bytes and counts those that come back.
 *
 *     load OPTION=VALUE...
 *
 * prints "ready" when all is open that shall be, waits for a line on stdin, does it, and prints
 *
 *     rate=... bytes=... p50=... p90=... p99=... ended=...
 *
 * requests and bytes a second, microseconds, and how many requests there were, with those that do not count; then stays
 * until stdin ends.
 *
 *     to=127.0.0.1:PORT    where to
 *     from=127.0.2.1       from where (the next 20,000 connections that are open come from the next address)
 *     header=HEX           what a connection begins with, nothing if empty
 *     when=with|N          the first bytes come with the connection itself (the last packet of the handshake brings
 *                          them), or N microseconds after it stands
 *     login=SCRIPT         what is said once on each connection
 *     request=SCRIPT       what is timed, again and again, on open connections
 *     open=N               how many are open; 0: a connection for each request, and what is timed is all of it
 *     flight=N             how many requests (with open=0 connections) are under way at a time
 *     seconds=S            how long, after a tenth of it that does not count
 *     silent=N             instead of all that: open N connections and say nothing
 *
 * A SCRIPT is of words: sHEX sends, rN takes N bytes, e takes the end of the connection.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 30 }; /* seconds: a machine that is busy is slow, not broken */
enum { MOST_STEPS = 32, AN_ADDRESS = 20000, READ = 256 * 1024 };

/* --- what is asked for --- */

struct step {
    char kind; /* 's', 'r', 'e' */
    size_t length;
    unsigned char *bytes;
};

static struct {
    struct sockaddr_in to, from;
    struct step steps[MOST_STEPS];
    int count, request; /* steps in all, and the first of a request */
    bool with_connection;
    long late;                 /* microseconds */
    long open, flight, silent; /* silent: -1 if not asked for */
    double seconds;
} want = {.flight = 1, .silent = -1, .seconds = 1};

static unsigned char *bytes_of(const char *hex, size_t *length)
{
    *length = strcspn(hex, " ") / 2;
    unsigned char *bytes = malloc(*length + 1);
    for (size_t i = 0; bytes && i < *length; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &bytes[i]) != 1)
            errx(64, "not hexadecimal: %s", hex);
    return bytes;
}

static void add_step(const char *word)
{
    struct step *s = &want.steps[want.count++];
    if (want.count == MOST_STEPS)
        errx(64, "too many steps");
    s->kind = word[0];
    if (word[0] == 's')
        s->bytes = bytes_of(word + 1, &s->length);
    else if (word[0] == 'r')
        s->length = strtoul(word + 1, NULL, 10);
    else if (strcmp(word, "e") != 0)
        errx(64, "no such step: %s", word);
}

static void add_script(char *script)
{
    for (char *word = strtok(script, " "); word; word = strtok(NULL, " "))
        add_step(word);
}

/* A header goes out together with what is said first, at the start of the connection. */
static void begin_with(const char *hex)
{
    size_t length;
    unsigned char *header = bytes_of(hex, &length);
    struct step *first = want.steps;
    if (length == 0) {
        free(header);
        return;
    }
    if (first->kind != 's' || (want.open && want.request == 0)) {
        memmove(first + 1, first, (MOST_STEPS - 1) * sizeof *first);
        *first = (struct step){.kind = 's'};
        want.count++;
        want.request++;
    }
    first->bytes = realloc(first->bytes, first->length + length);
    memmove(first->bytes + length, first->bytes, first->length);
    memcpy(first->bytes, header, length);
    first->length += length;
    free(header);
}

static struct sockaddr_in address(char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    char *port = strchr(text, ':');
    if (port)
        *port++ = 0;
    a.sin_port = htons((uint16_t)(port ? atoi(port) : 0));
    if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
        errx(64, "not an address: %s", text);
    return a;
}

static void understand(char **argv)
{
    char *login = NULL, *request = NULL;
    const char *header = "";
    for (; *argv; argv++) {
        char *value = strchr(*argv, '=');
        if (!value)
            errx(64, "no value: %s", *argv);
        *value++ = 0;
        if (!strcmp(*argv, "to"))
            want.to = address(value);
        else if (!strcmp(*argv, "from"))
            want.from = address(value);
        else if (!strcmp(*argv, "header"))
            header = value;
        else if (!strcmp(*argv, "when"))
            want.with_connection = !strcmp(value, "with"), want.late = atol(value);
        else if (!strcmp(*argv, "login"))
            login = value;
        else if (!strcmp(*argv, "request"))
            request = value;
        else if (!strcmp(*argv, "open"))
            want.open = atol(value);
        else if (!strcmp(*argv, "flight"))
            want.flight = atol(value);
        else if (!strcmp(*argv, "seconds"))
            want.seconds = atof(value);
        else if (!strcmp(*argv, "silent"))
            want.silent = atol(value);
        else
            errx(64, "no such option: %s", *argv);
    }
    if (login)
        add_script(login);
    want.request = want.count;
    if (request)
        add_script(request);
    begin_with(header);
}

/* --- time --- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A histogram with 32 bars for each doubling: no bar is wider than 3 %. */
enum { BARS = 32 * 40, BARS_A_DOUBLING = 32 };
static unsigned long bars[BARS], timed, served;
static double counted_from; /* what ended before does not count */
static unsigned long long bytes_in;

static double value_at(int bar) /* microseconds */
{
    int doubling = bar / BARS_A_DOUBLING;
    return 0.1 * (double)(1UL << doubling) * (1 + (double)(bar % BARS_A_DOUBLING) / BARS_A_DOUBLING);
}

static void time_one(double took)
{
    double v = took * 1e6 / 0.1;
    int doubling = 0;
    for (; v >= 2 && doubling < 39; doubling++)
        v /= 2;
    int within = v < 1 ? 0 : (int)((v - 1) * BARS_A_DOUBLING);
    bars[doubling * BARS_A_DOUBLING + (within < BARS_A_DOUBLING ? within : BARS_A_DOUBLING - 1)]++;
    timed++;
}

static double percentile(double share)
{
    unsigned long below = 0;
    for (int i = 0; i < BARS; i++)
        if ((double)(below += bars[i]) >= share * (double)timed)
            return value_at(i);
    return 0;
}

/* --- connections --- */

struct connection {
    struct connection *next; /* in a queue */
    int fd, at;
    bool connecting, readable, ending; /* ending: the other side has closed */
    size_t got;                        /* of what the step takes */
    double began, due;
};

struct queue {
    struct connection *first, **last;
};

static struct queue idle, late; /* open and logged in; standing, with their first bytes to come */
static int epoll;
static long opened, under_way;
static bool measuring; /* all that shall be open is */

static void put(struct queue *q, struct connection *c)
{
    c->next = NULL;
    if (!q->first)
        q->last = &q->first;
    *q->last = c;
    q->last = &c->next;
}

static struct connection *take(struct queue *q)
{
    struct connection *c = q->first;
    if (c)
        q->first = c->next;
    return c;
}

/* The server need not speak first, and this is not a connection that is only opened for later. */
static bool speaks_first(void)
{
    return want.count && want.steps[0].kind == 's' && (!want.open || want.request > 0);
}

static struct connection *dial(void)
{
    static const int on = 1, off = 0;
    static const struct linger at_once = {1, 0}; /* no port is left in TIME_WAIT */
    struct connection *c = calloc(1, sizeof *c);
    struct sockaddr_in from = want.from;
    from.sin_addr.s_addr =
        htonl(ntohl(from.sin_addr.s_addr) + (uint32_t)(want.open || want.silent > 0 ? opened / AN_ADDRESS : 0));
    c->connecting = true;
    c->began = now();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        err(1, "socket number %ld", opened);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (want.with_connection && speaks_first())
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
        err(1, "bind");
    if (connect(c->fd, (struct sockaddr *)&want.to, sizeof want.to) != 0 && errno != EINPROGRESS)
        err(1, "connect");
    opened++;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
        err(1, "epoll_ctl");
    return c;
}

static void hang_up(struct connection *c)
{
    close(c->fd);
    free(c);
}

static void go_on(struct connection *c);

static void next_request(void)
{
    struct connection *c = take(&idle);
    under_way++;
    if (!c)
        errx(1, "no connection is idle");
    c->at = want.request;
    c->began = now();
    go_on(c);
}

static void start_one(void)
{
    under_way++;
    dial();
}

/* The script, or its part, has been said to its end. */
static void finish(struct connection *c)
{
    double end = now();
    under_way--;
    served += measuring;
    if (measuring && end >= counted_from)
        time_one(end - c->began);
    if (want.open)
        put(&idle, c);
    else
        hang_up(c);
}

static void send_step(struct connection *c, const struct step *s)
{
    if (send(c->fd, s->bytes, s->length, MSG_NOSIGNAL) != (ssize_t)s->length)
        err(1, "step %d, sending", c->at);
}

/* False: the rest is to come. */
static bool receive_step(struct connection *c, const struct step *s)
{
    static char buffer[READ];
    while (c->got < s->length || s->kind == 'e') {
        if (!c->readable)
            return false;
        ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
        bool ended = n == 0 || (n < 0 && errno == ECONNRESET);
        if (s->kind == 'e' && ended)
            return true;
        if (ended)
            errx(1, "step %d: the connection ended after %zu bytes of %zu", c->at, c->got, s->length);
        if (n < 0 && errno != EAGAIN)
            err(1, "step %d, after %zu bytes of %zu", c->at, c->got, s->length);
        c->readable = n == sizeof buffer || (n > 0 && c->ending); /* else what is to come is an event */
        if (n < 0)
            return false;
        c->got += (size_t)n;
        bytes_in += (unsigned long long)n;
    }
    c->got -= s->length;
    return true;
}

static void go_on(struct connection *c)
{
    int end = want.open && !measuring ? want.request : want.count;
    while (c->at < end) {
        const struct step *s = &want.steps[c->at];
        if (s->kind == 's')
            send_step(c, s);
        else if (!receive_step(c, s))
            return;
        c->at++;
    }
    finish(c);
}

static void connected(struct connection *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error) {
        errno = error;
        err(1, "connect");
    }
    c->connecting = false;
    if (want.late && speaks_first()) {
        c->due = now() + (double)want.late / 1e6;
        put(&late, c);
    } else {
        go_on(c);
    }
}

static void serve_late(void)
{
    while (late.first && late.first->due <= now()) {
        struct connection *c = take(&late);
        c->due = 0;
        go_on(c);
    }
}

/* Waits for events, or until the first of the late is due, and deals with them. */
static void turn(void)
{
    struct epoll_event events[64];
    struct timespec limit = {0, 200 * 1000 * 1000};
    if (late.first) {
        double left = late.first->due - now();
        limit = (struct timespec){0, left > 0 ? (long)(left * 1e9) % 1000000000 : 0};
    }
    int n = epoll_pwait2(epoll, events, 64, &limit, NULL);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            c->readable = true;
        if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            c->ending = true;
        if (c->connecting && events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            connected(c);
        else if (!c->connecting && c->readable && c->due == 0 && (c->at < want.count && want.steps[c->at].kind != 's'))
            go_on(c);
    }
    serve_late();
}

/* --- what is done with them --- */

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

/* What it was told on stdin; nothing means the end. */
static int heard(void)
{
    char line[8];
    return fgets(line, sizeof line, stdin) != NULL;
}

static void must_change(long progress)
{
    static long before = -1;
    static double since;
    if (progress != before) {
        before = progress;
        since = now();
    } else if (now() > since + PATIENCE) {
        errx(1, "no answer within %d seconds", PATIENCE);
    }
}

static void open_all(void)
{
    enum { AT_A_TIME = 100 };
    while (opened < want.open || under_way) {
        must_change(opened - under_way);
        while (opened < want.open && under_way < AT_A_TIME)
            start_one();
        turn();
    }
    measuring = true;
}

static void stay_silent(void)
{
    for (long i = 0; i < want.silent; i++) {
        struct connection *c = dial();
        while (c->connecting)
            turn();
    }
    say("ready");
    heard();
}

static void run(void)
{
    char line[256];
    open_all();
    say("ready");
    if (!heard())
        return;
    double start = now(), end = start + want.seconds * 1.1;
    counted_from = start + want.seconds * 0.1;
    unsigned long long bytes_before = 0;
    double began_bytes = 0;
    do {
        while (under_way < want.flight)
            want.open ? next_request() : start_one();
        turn();
        if (!began_bytes && now() >= counted_from) {
            began_bytes = now();
            bytes_before = bytes_in;
        }
        must_change((long)served);
    } while (now() < end || !timed);
    double took = now() - began_bytes;
    snprintf(line, sizeof line, "rate=%.1f bytes=%.0f p50=%.1f p90=%.1f p99=%.1f ended=%lu", (double)timed / took,
             (double)(bytes_in - bytes_before) / took, percentile(.5), percentile(.9), percentile(.99), served);
    say(line);
    heard(); /* nothing ends before whoever reads this has looked at the server */
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc < 2)
        errx(64, "usage: load OPTION=VALUE... (see the head of load.c)");
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    want.from = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    understand(argv + 1);
    if (want.open && want.open < want.flight)
        errx(64, "more requests under way than connections");
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (want.silent >= 0)
        stay_silent();
    else
        run();
    return 0;
}
