/* SPDX-License-Identifier: MIT
 *
 * status_serve.c: one HTTP request on stdin, answered on stdout (status.h): for a socket unit of systemd with
 * Accept=yes, or inetd.
 *
 * The request is read to its end before anything is said: a connection that is closed with bytes unread is reset, and
 * the answer with it.
 */
#include "status.h"
#include "tool.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE 5000 /* milliseconds for a piece of the request */

/* Only its first line counts. false: it did not come, or never ends. */
static bool read_request(char out[8192])
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    size_t have = 0;
    ssize_t n = 1;
    out[0] = 0;
    while (!strstr(out, "\r\n\r\n") && have < 8191 && n > 0) {
        n = poll(&in, 1, PATIENCE) == 1 ? read(STDIN_FILENO, out + have, 8191 - have) : 0;
        have += n > 0 ? (size_t)n : 0;
        out[have] = 0;
    }
    return strstr(out, "\r\n\r\n");
}

static int answer(const char *status, const char *type, const char *body, size_t length)
{
    printf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status, type, length);
    fwrite(body, 1, length, stdout);
    return fflush(stdout) == 0 ? TOOL_OK : TOOL_NO;
}

static int refuse(const char *status, const char *why)
{
    char *body = tool_text("%s\n", why);
    answer(status, "text/plain; charset=utf-8", body, strlen(body));
    free(body);
    return TOOL_NO;
}

static bool asks_for(const char *request, const char *path)
{
    size_t length = strlen(path);
    return strncmp(request, "GET ", 4) == 0 && strncmp(request + 4, path, length) == 0 &&
           (request[4 + length] == ' ' || request[4 + length] == '?');
}

int status_serve(const char *directory, const struct status_wanted *wanted)
{
    char request[8192] = "", error[512], *body = NULL;
    size_t length;
    struct status s;
    if (!read_request(request))
        return refuse("400 Bad Request", "that is no HTTP request");
    if (!asks_for(request, "/metrics"))
        return refuse("404 Not Found", "there is only GET /metrics");
    if (!status_read(directory, wanted, true, &s, error))
        return refuse("500 Internal Server Error", error);
    FILE *to = tool_or_abort(open_memstream(&body, &length));
    status_print_openmetrics(to, &s);
    fclose(to);
    status_free(&s);
    int status = answer("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", body, length);
    free(body);
    return status;
}
