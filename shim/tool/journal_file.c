/* SPDX-License-Identifier: MIT
 *
 * journal_file.c: see journal_file.h.
 */
#include "journal_file.h"
#include "json.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <ppshim/deadline.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *path;
static int fd = -1;
static FILE *lines;
static char *text;
static size_t length;
static uint64_t lost;
static bool complained;

static int open_file(void)
{
    return strcmp(path, "-") == 0 ? STDOUT_FILENO
                                  : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

bool tool_journal_open(const char *where, char error[512])
{
    path = where;
    fd = open_file();
    return fd >= 0 || (snprintf(error, 512, "%s: %m", path), false);
}

static void write_lost(void)
{
    fputs("{\"event\": \"lost\", ", lines);
    tool_json_time(lines, "time", pps_wall_clock());
    fprintf(lines, ", \"lines\": %" PRIu64 "}\n", lost);
}

FILE *tool_journal_line(void)
{
    if (lines)
        return lines;
    lines = tool_or_abort(open_memstream(&text, &length));
    if (lost)
        write_lost();
    return lines;
}

/* Bytes that could be written. */
static size_t write_all(void)
{
    size_t done = 0;
    while (done < length) {
        ssize_t n = write(fd, text + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static uint64_t count_lines(const char *at, const char *end)
{
    uint64_t n = 0;
    for (; at < end; at++)
        n += *at == '\n';
    return n;
}

/* Of a line that was written in part the part is taken back, where that can be done. */
static void take_back(size_t done)
{
    const char *whole = memrchr(text, '\n', done);
    size_t torn = done - (whole ? (size_t)(whole + 1 - text) : 0);
    off_t end = torn ? lseek(fd, 0, SEEK_END) : -1;
    if (end >= (off_t)torn && ftruncate(fd, end - (off_t)torn) != 0)
        return;
}

static void complain(int error)
{
    if (!complained)
        tool_fail(TOOL_NO, "journal", "%s: %s: lines are lost until that is mended", path, strerror(error));
    complained = true;
}

void tool_journal_flush(void)
{
    if (!lines)
        return;
    fclose(lines);
    lines = NULL;
    size_t done = write_all();
    bool told = lost && memchr(text, '\n', done); /* the first line, which says how many were lost */
    if (done == length) {
        lost = 0;
        complained = false;
    } else {
        complain(errno);
        take_back(done);
        uint64_t more = count_lines(text + done, text + length);
        lost = told || !lost ? more : lost + more - 1;
    }
    free(text);
    text = NULL;
}

void tool_journal_reopen(void)
{
    tool_journal_flush();
    int fresh = open_file();
    if (fresh < 0) {
        tool_fail(TOOL_NO, "journal", "%s: %m: it goes on with the old file", path);
        return;
    }
    if (fd != STDOUT_FILENO)
        close(fd);
    fd = fresh;
}
