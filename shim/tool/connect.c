/* SPDX-License-Identifier: MIT
 *
 * connect.c: `ppshim connect`: any client, as if it came through a balancer. What the header is and which connections
 * it is for goes to libppconnect.so by the environment (../connect/opening.h).
 */
#include "../connect/opening.h"
#include "endpoint.h"
#include "header_options.h"
#include "options.h"
#include "preload.h"
#include "tool.h"
#include <getopt.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

enum { ONLY = TOOL_HEADER_OPTION_COUNT, LIBRARY, OPTIONS };

static const struct tool_option options[OPTIONS] = {
    TOOL_HEADER_OPTION_ROWS[ONLY] = {"only", "HOST:PORT",
                                     "connections to others stay as they are; * is any; may be repeated"},
    {"library", "PATH", "libppconnect.so, if not beside this tool or where it was installed"},
};

static const struct tool_usage usage = {
    "connect",
    "--from ADDR[:PORT] [OPTION]... [--] CLIENT [ARGUMENT]...",
    "Starts CLIENT so that each TCP connection it makes opens with a PROXY header, before TLS and all\n"
    "else. Without --to, the header's destination is the address connected to. CLIENT must be linked\n"
    "dynamically and not be setuid; programs that it starts open their connections likewise.",
    "  ppshim connect --from 203.0.113.7 curl https://127.0.0.1:8443/\n"
    "  ppshim connect --from 203.0.113.7 --only '*:5432' psql -h db.example.org",
    options,
    OPTIONS,
};

/* Room for PPC_ONLY_MAX endpoints, each with a space behind it. */
struct targets {
    char text[PPC_ONLY_MAX * (PPS_ADDR_TEXT + 1) + 1];
    size_t count;
};

static int add_target(struct targets *t, const char *host, const char *port)
{
    char *at = t->text + strlen(t->text);
    if (t->count++ == PPC_ONLY_MAX)
        return tool_fail(TOOL_USAGE, "connect", "--only: more than %d addresses", PPC_ONLY_MAX);
    snprintf(at, sizeof t->text - (size_t)(at - t->text), "%s%s:%s", at == t->text ? "" : " ", host, port);
    return TOOL_OK;
}

/* "203.0.113.7" or "[2001:db8::7]". */
static const char *host_text(const struct sockaddr *sa, socklen_t len, char text[PPS_ADDR_TEXT])
{
    struct pps_addr a;
    if (!pps_addr_from_sockaddr(&a, sa, len))
        return NULL;
    *strrchr(pps_addr_text(&a, text), ':') = '\0';
    return text;
}

static int add_name(struct targets *t, const char *name, const char *port)
{
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    char text[PPS_ADDR_TEXT];
    int error = getaddrinfo(name, NULL, &hints, &found);
    if (error)
        return tool_fail(TOOL_NO, "connect", "--only %s:%s: %s", name, port, gai_strerror(error));
    int status = TOOL_OK;
    for (struct addrinfo *one = found; one && status == TOOL_OK; one = one->ai_next) {
        const char *host = host_text(one->ai_addr, one->ai_addrlen, text);
        status = host ? add_target(t, host, port) : TOOL_OK;
    }
    freeaddrinfo(found);
    return status;
}

static int add_only(struct targets *t, const char *value)
{
    const char *colon = strrchr(value, ':');
    size_t length = colon ? (size_t)(colon - value) : 0;
    bool bracketed = length > 2 && *value == '[' && colon[-1] == ']';
    uint16_t port;
    char host[256];
    if (length == 0 || length >= sizeof host || (!bracketed && memchr(value, ':', length)) ||
        (strcmp(colon + 1, "*") != 0 && !tool_port_read(colon + 1, &port)))
        return tool_fail(TOOL_USAGE, "connect", "--only %s: write HOST:PORT, [2001:db8::7]:PORT, HOST:* or *:PORT",
                         value);
    snprintf(host, sizeof host, "%.*s", (int)(length - 2 * bracketed), value + bracketed);
    return (strcmp(host, "*") == 0 ? add_target : add_name)(t, host, colon + 1);
}

struct request {
    struct tool_header header;
    struct targets targets;
    const char *library;
};

static int read_options(int argc, char **argv, struct request *r, bool *helped)
{
    const char *value;
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;) {
        int status = TOOL_OK;
        *helped = option == TOOL_OPTION_HELP;
        if (*helped)
            return TOOL_OK;
        if (option == ONLY)
            status = add_only(&r->targets, value);
        else if (option == LIBRARY)
            r->library = value;
        else if (option == TOOL_OPTION_WRONG || !tool_header_note(&r->header, option, value))
            status = TOOL_USAGE;
        if (status != TOOL_OK)
            return status;
    }
    return optind < argc ? TOOL_OK : tool_fail(TOOL_USAGE, "connect", "which client? (try ppshim connect --help)");
}

static bool put_environment(const char *name, const char *value)
{
    return (value ? setenv(name, value, 1) : unsetenv(name)) == 0;
}

static int tell_library(const struct request *r)
{
    uint8_t bytes[PPC_HEADER_MAX];
    char hex[2 * PPC_HEADER_MAX + 1] = "";
    size_t length = tool_header_build(&r->header, bytes, sizeof bytes);
    bool to_peer = r->header.value[TOOL_HEADER_FROM] && !r->header.value[TOOL_HEADER_TO];
    for (size_t i = 0; i < length; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    if (length == 0)
        return TOOL_USAGE;
    return put_environment(PPC_HEADER, hex) && put_environment(PPC_DESTINATION, to_peer ? "peer" : NULL) &&
                   put_environment(PPC_ONLY, r->targets.count ? r->targets.text : NULL)
               ? TOOL_OK
               : tool_fail(TOOL_NO, "connect", "%m");
}

int tool_connect(int argc, char **argv)
{
    static struct request r = {.header.verb = "connect"};
    bool helped = false;
    int status = read_options(argc, argv, &r, &helped);
    if (status != TOOL_OK || helped || (status = tell_library(&r)) != TOOL_OK)
        return status;
    const char *library = tool_preload_find("connect", "libppconnect.so", r.library);
    return library ? tool_preload_exec("connect", library, false, argv + optind) : TOOL_CANNOT_RUN;
}
