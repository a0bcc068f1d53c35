/* SPDX-License-Identifier: MIT
 *
 * main.c: finds the verb of ppshim(1) and hands over (tool.h).
 */
#include "options.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>

static const struct verb {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"run", "start a server under libppshim.so, its settings checked first", tool_run},
    {"connect", "start a client whose connections open with a PROXY header", tool_connect},
    {"header", "write a PROXY header to stdout, or explain one read from stdin", tool_header},
    {"check", "say whether a program, a process or a systemd unit is served, or could be", tool_check},
    {"doctor", "say what this system is, what on it is governed, and what to do next", tool_doctor},
    {"unit", "give a systemd service the preload and its settings, or take them away", tool_unit},
    {"status", "say what became of the connections of servers that count them", tool_status},
    {"who", "list the open connections, each with its client", tool_who},
    {"kill", "end the connections of a client", tool_kill},
    {"journal", "write down when each connection starts and ends, or look that up", tool_journal},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

int tool_fail(int status, const char *verb, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "ppshim %s: ", verb);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return status;
}

void *tool_or_abort(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* Doubled at each power of two. */
void *tool_grow(void *list, size_t count, size_t size)
{
    if ((count & (count - 1)) == 0)
        list = tool_or_abort(realloc(list, (count ? 2 * count : 1) * size));
    memset((char *)list + count * size, 0, size);
    return list;
}

char *tool_text_of(const char *format, va_list args)
{
    char *text = NULL;
    return tool_or_abort(vasprintf(&text, format, args) < 0 ? NULL : text);
}

char *tool_text(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tool_text_of(format, args);
    va_end(args);
    return text;
}

static int usage(FILE *to, int status)
{
    fputs("Usage: ppshim VERB [OPTION]...\n\nVerbs, each with a --help of its own:\n", to);
    for (int i = 0; i < VERBS; i++)
        fprintf(to, "  %-10s%s\n", verbs[i].name, verbs[i].what);
    fputs("\nppshim help VERB is the same as ppshim VERB --help; ppshim --version prints the version.\n"
          "The library's settings and log lines: man libppshim; this tool: man ppshim.\n",
          to);
    return status;
}

static const struct verb *find_verb(const char *name)
{
    for (int i = 0; i < VERBS; i++)
        if (strcmp(name, verbs[i].name) == 0)
            return &verbs[i];
    return NULL;
}

static int no_such_verb(const char *name)
{
    static const char *const others[] = {"help", "--help", "--version"};
    enum { OTHERS = sizeof others / sizeof *others };
    const char *names[VERBS + OTHERS];
    for (int i = 0; i < VERBS; i++)
        names[i] = verbs[i].name;
    memcpy(names + VERBS, others, sizeof others);
    const char *nearest = tool_nearest(name, names, VERBS + OTHERS);
    fprintf(stderr, "ppshim: no such %s: %s%s%s (try ppshim --help)\n", *name == '-' ? "option" : "verb", name,
            nearest ? ": the nearest is " : "", nearest ? nearest : "");
    return TOOL_USAGE;
}

static int help(const char *name)
{
    if (!name || *name == '-')
        return usage(stdout, TOOL_OK);
    const struct verb *verb = find_verb(name);
    return verb ? verb->run(2, (char *[]){(char *)verb->name, (char *)"--help", NULL}) : no_such_verb(name);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr, TOOL_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return usage(stdout, TOOL_OK);
    if (strcmp(argv[1], "--version") == 0)
        return printf("ppshim %s\n", PPS_VERSION) < 0 ? TOOL_NO : TOOL_OK;
    if (strcmp(argv[1], "help") == 0)
        return help(argv[2]);
    const struct verb *verb = find_verb(argv[1]);
    return verb ? verb->run(argc - 1, argv + 1) : no_such_verb(argv[1]);
}
