/* SPDX-License-Identifier: MIT
 *
 * header.c: `ppshim header`: a header's bytes, for whatever can send bytes.
 */
#include "decode.h"
#include "header_options.h"
#include "options.h"
#include "tool.h"
#include <getopt.h>

enum { DECODE = TOOL_HEADER_OPTION_COUNT, OPTIONS };

static const struct tool_option options[OPTIONS] = {
    TOOL_HEADER_OPTION_ROWS[DECODE] = {"decode", NULL, "explain the header on stdin instead"}};

static const struct tool_usage usage = {
    "header",
    "--from ADDR[:PORT] [OPTION]... | --decode",
    "Writes a PROXY header to stdout, or, with --decode, explains the one on stdin: exit status 0 if\n"
    "it is valid, 1 if not. Both are what libppshim.so itself would say.",
    "  { ppshim header --from 203.0.113.7; printf 'PING\\r\\n'; } | nc -q1 127.0.0.1 6379\n"
    "  ppshim header --from 203.0.113.7 --ssl --cn app --crc | ppshim header --decode",
    options,
    OPTIONS,
};

static int write_header(const struct tool_header *h)
{
    static uint8_t bytes[PPS_HEADER_MAX];
    size_t length = tool_header_build(h, bytes, sizeof bytes);
    if (length == 0)
        return TOOL_USAGE;
    if (fwrite(bytes, 1, length, stdout) != length || fflush(stdout) != 0)
        return tool_fail(TOOL_NO, "header", "stdout: %m");
    return TOOL_OK;
}

int tool_header(int argc, char **argv)
{
    struct tool_header h = {.verb = "header"};
    const char *value;
    bool decode = false, others = false;
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;) {
        if (option == TOOL_OPTION_HELP)
            return TOOL_OK;
        if (option == TOOL_OPTION_WRONG || (option != DECODE && !tool_header_note(&h, option, value)))
            return TOOL_USAGE;
        *(option == DECODE ? &decode : &others) = true;
    }
    if (optind < argc)
        return tool_fail(TOOL_USAGE, "header", "takes no such word: %s", argv[optind]);
    if (decode && others)
        return tool_fail(TOOL_USAGE, "header", "--decode reads a header, the other options make one");
    return decode ? tool_decode(stdin) : write_header(&h);
}
