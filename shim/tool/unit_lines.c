/* SPDX-License-Identifier: MIT
 *
 * unit_lines.c: see unit_lines.h.
 */
#include "unit_lines.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* A line and the ones it goes on in, joined by spaces; comments between them are skipped. NULL at the end. */
static char *logical_line(char **rest, unsigned *number)
{
    char *first = NULL, *out = NULL, *line;
    while ((line = strsep(rest, "\n"))) {
        size_t length = strlen(line);
        ++*number;
        if (strchr("#;", line[strspn(line, " \t")]) && line[strspn(line, " \t")]) {
            if (first)
                continue;
            return line;
        }
        size_t escapes = 0;
        while (escapes < length && line[length - 1 - escapes] == '\\')
            escapes++;
        bool goes_on = escapes % 2;
        if (goes_on)
            line[length - 1] = ' ';
        if (!first)
            first = out = line;
        else
            memmove(out, line, length + 1);
        out += length;
        if (!goes_on)
            break;
    }
    return first;
}

static void trim(char *text)
{
    size_t length = strlen(text);
    while (length && isspace((unsigned char)text[length - 1]))
        text[--length] = 0;
}

void tool_unit_lines(char *text, const char *section, tool_unit_take *take, void *with)
{
    bool inside = false;
    unsigned number = 0;
    char *line, *rest = text;
    while (rest) {
        unsigned begins = number + 1;
        if (!(line = logical_line(&rest, &number)))
            break;
        line += strspn(line, " \t\r");
        trim(line);
        if (*line == '[')
            inside = strcmp(line, section) == 0;
        char *value = strchr(line, '=');
        if (!inside || !value || strchr("#;[", *line))
            continue;
        *value++ = 0;
        trim(line);
        take(with, line, value + strspn(value, " \t\r"), begins);
    }
}
