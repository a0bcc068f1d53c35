/* SPDX-License-Identifier: MIT
 *
 * check_report.c: how `ppshim check` says what it found (check_report.h).
 *
 * What it prints comes from files and processes of anybody: control bytes never reach the terminal, and JSON is valid
 * UTF-8 whatever the bytes.
 */
#include "check_report.h"
#include "json.h"
#include "options.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word, *colour;
    int status;
} verdicts[] = {
    [TOOL_VERDICT_OK] = {"ok", "\033[32m", TOOL_OK},
    [TOOL_VERDICT_UNSURE] = {"unsure", "\033[33m", TOOL_NO},
    [TOOL_VERDICT_NO] = {"no", "\033[31m", TOOL_NO},
    [TOOL_VERDICT_CONFIG] = {"no", "\033[31m", TOOL_CONFIG},
};

static void add(struct tool_report *r, const char *name, bool warning, char *text)
{
    if (r->count < TOOL_FACTS_MAX)
        r->facts[r->count++] = (struct tool_fact){name, text, warning};
    else
        free(text);
}

static void also(struct tool_report *r, char *because)
{
    bool known = strcmp(because, r->because) == 0;
    for (unsigned i = 0; i < r->count; i++)
        known |= strcmp(r->facts[i].name, "also") == 0 && strcmp(r->facts[i].text, because) == 0;
    if (known)
        free(because);
    else
        add(r, "also", false, because);
}

void tool_judge(struct tool_report *r, enum tool_verdict verdict, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *because = tool_text_of(format, args);
    va_end(args);
    bool leads = !r->judged || verdict > r->verdict;
    char *other = leads ? r->because : because;
    if (leads) {
        r->because = because;
        r->verdict = verdict;
    }
    if (other)
        also(r, other);
    r->judged = true;
}

void tool_judge_ok(struct tool_report *r, const char *because, ...)
{
    va_list args;
    va_start(args, because);
    if (!r->judged) {
        free(r->because);
        r->because = tool_text_of(because, args);
        r->verdict = TOOL_VERDICT_OK;
    }
    va_end(args);
}

void tool_note(struct tool_report *r, const char *name, const char *text, ...)
{
    va_list args;
    va_start(args, text);
    add(r, name, false, tool_text_of(text, args));
    va_end(args);
}

void tool_warn(struct tool_report *r, const char *name, const char *text, ...)
{
    va_list args;
    va_start(args, text);
    add(r, name, true, tool_text_of(text, args));
    va_end(args);
}

/* --- text --- */

static void put_text(const char *text)
{
    for (; text && *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            printf("\\x%02x", (unsigned char)*text);
        else
            putchar(*text);
    }
}

static void put_verdict(const struct tool_report *r, const char *more, const char *because)
{
    bool colour = tool_has_colour(stdout);
    printf("%s%s%s%s: ", colour ? verdicts[r->verdict].colour : "", verdicts[r->verdict].word, colour ? "\033[0m" : "",
           more);
    put_text(r->subject);
    printf(": ");
    put_text(because);
}

static void print_verdict(const struct tool_report *r)
{
    put_verdict(r, "", r->because);
    putchar('\n');
}

/* Where nothing follows: a warning tells more than that nothing spoke against it. */
static void print_line(const struct tool_report *r)
{
    const char *first = NULL;
    unsigned count = 0;
    for (unsigned i = 0; i < r->count && !r->judged; i++) {
        count += r->facts[i].warning;
        first = first || !r->facts[i].warning ? first : r->facts[i].text;
    }
    put_verdict(r, first ? ", but" : "", first ? first : r->because);
    if (count > 1)
        printf(" (and %u more warning%s)", count - 1, count > 2 ? "s" : "");
    putchar('\n');
}

static void print_text(const struct tool_report *r)
{
    print_verdict(r);
    for (unsigned i = 0; i < r->count; i++) {
        printf("  %-10s %s", r->facts[i].name, r->facts[i].warning ? "warning: " : "");
        put_text(r->facts[i].text);
        putchar('\n');
    }
}

/* --- JSON --- */

static void print_json(const struct tool_report *r)
{
    printf("{\"verdict\": \"%s\", \"status\": %d, \"subject\": ", verdicts[r->verdict].word,
           verdicts[r->verdict].status);
    tool_json_put(stdout, r->subject);
    printf(", \"because\": ");
    tool_json_put(stdout, r->because);
    printf(", \"facts\": [");
    for (unsigned i = 0; i < r->count; i++) {
        printf("%s{\"name\": \"%s\", \"warning\": %s, \"text\": ", i ? ", " : "", r->facts[i].name,
               r->facts[i].warning ? "true" : "false");
        tool_json_put(stdout, r->facts[i].text);
        printf("}");
    }
    printf("]}\n");
}

int tool_report_print(const struct tool_report *r, bool json)
{
    if (json)
        print_json(r);
    else
        print_text(r);
    return verdicts[r->verdict].status;
}

int tool_report_print_line(const struct tool_report *r, bool json)
{
    if (json)
        print_json(r);
    else
        print_line(r);
    return verdicts[r->verdict].status;
}

void tool_report_free(struct tool_report *r)
{
    free(r->subject);
    free(r->because);
    for (unsigned i = 0; i < r->count; i++)
        free(r->facts[i].text);
}
