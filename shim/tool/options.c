/* SPDX-License-Identifier: MIT
 *
 * options.c: see options.h. Owns getopt.
 */
#include "options.h"
#include "../policy/near.h"
#include "tool.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool tool_has_colour(FILE *to)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(none && *none) && terminal && strcmp(terminal, "dumb") != 0 && isatty(fileno(to));
}

const char *tool_bold(FILE *to)
{
    return tool_has_colour(to) ? "\033[1m" : "";
}

const char *tool_plain(FILE *to)
{
    return tool_has_colour(to) ? "\033[0m" : "";
}

static int option_width(const struct tool_option *o)
{
    return (int)(strlen(o->name) + (o->argument ? 1 + strlen(o->argument) : 0));
}

static void print_option(const struct tool_option *o, int width)
{
    printf("  --%s%s%-*s  %s\n", o->name, o->argument ? " " : "", width - (int)strlen(o->name) - (o->argument ? 1 : 0),
           o->argument ? o->argument : "", o->meaning);
}

static void help(const struct tool_usage *u)
{
    static const struct tool_option own = {"help", NULL, "this text"};
    const char *bold = tool_bold(stdout), *plain = tool_plain(stdout);
    int width = option_width(&own);
    for (int i = 0; i < u->count; i++)
        width = option_width(&u->options[i]) > width ? option_width(&u->options[i]) : width;
    printf("%sUsage:%s ppshim %s %s\n\n%s\n\n%sOptions:%s\n", bold, plain, u->verb, u->synopsis, u->what, bold, plain);
    for (int i = 0; i < u->count; i++)
        print_option(&u->options[i], width);
    print_option(&own, width);
    printf("\n%sExample:%s\n%s\n", bold, plain, u->example);
}

static bool is_known(const char *word, const struct tool_usage *u)
{
    size_t length = strcspn(word, "=");
    for (int i = 0; i < u->count; i++)
        if (length == strlen(u->options[i].name) && memcmp(word, u->options[i].name, length) == 0)
            return true;
    return false;
}

const char *tool_nearest(const char *word, const char *const *names, int count)
{
    struct pps_text text = {word, strcspn(word, "=")};
    const char *best = NULL;
    unsigned least = (unsigned)(text.length + 2) / 3; /* further off it is another word */
    for (int i = 0; i < count; i++) {
        unsigned distance = pps_near_distance(text, names[i]);
        bool begins = text.length > 2 && strncmp(names[i], word, text.length) == 0;
        if (begins || distance <= least) {
            best = names[i];
            least = begins ? 0 : distance - (distance > 0);
        }
    }
    return best;
}

static const char *nearest_option(const char *word, const struct tool_usage *u)
{
    const char *names[TOOL_OPTIONS_MAX + 1];
    for (int i = 0; i < u->count; i++)
        names[i] = u->options[i].name;
    names[u->count] = "help";
    return tool_nearest(word, names, u->count + 1);
}

static void refuse_option(const char *word, const struct tool_usage *u)
{
    const char *nearest = nearest_option(word + strspn(word, "-"), u);
    tool_fail(0, u->verb, "no such option: %s%s%s (try ppshim %s --help)", word, nearest ? ": the nearest is --" : "",
              nearest ? nearest : "", u->verb);
}

/* getopt's own words name no verb. */
static int wrong(int what, const char *word, const struct tool_usage *u)
{
    if (what == ':')
        tool_fail(0, u->verb, "%s needs a value (try ppshim %s --help)", word, u->verb);
    else if (strncmp(word, "--", 2) == 0 && is_known(word + 2, u))
        tool_fail(0, u->verb, "%.*s takes no value", (int)strcspn(word, "="), word);
    else if (optopt) /* a short one, which may share its word with others */
        tool_fail(0, u->verb, "no such option: -%c (try ppshim %s --help)", optopt, u->verb);
    else
        refuse_option(word, u);
    return TOOL_OPTION_WRONG;
}

int tool_option_next(int argc, char **argv, const struct tool_usage *u, const char **value)
{
    struct option table[TOOL_OPTIONS_MAX + 2] = {{0}};
    int which = 0, help_at = u->count;
    for (int i = 0; i < u->count; i++)
        table[i] = (struct option){u->options[i].name, u->options[i].argument ? 1 : 0, NULL, 0};
    table[help_at] = (struct option){"help", 0, NULL, 0};
    opterr = 0;
    int answer = getopt_long(argc, argv, strstr(u->synopsis, "[--]") ? "+:h" : ":h", table, &which);
    *value = optarg;
    if (answer == -1)
        return TOOL_OPTION_END;
    if (answer == 'h' || (answer == 0 && which == help_at)) {
        help(u);
        return TOOL_OPTION_HELP;
    }
    return answer == 0 ? which : wrong(answer, argv[optind - 1], u);
}

const char *tool_option_of(enum pps_setting setting)
{
    static char names[PPS_SET_COUNT][32];
    char *to = names[setting];
    for (const char *at = pps_settings[setting].name + strlen("PPSHIM_"); *at; at++)
        *to++ = *at == '_' ? '-' : (char)(*at | 0x20);
    return names[setting];
}

/* "off on" as "off|on". */
static const char *option_argument(const char *values)
{
    char *text = tool_text("%s", values);
    for (char *c = text; *c; c++)
        *c = *c == ' ' ? '|' : *c;
    return text;
}

void tool_setting_options(struct tool_option out[PPS_SET_COUNT])
{
    for (int i = 0; i < PPS_SET_COUNT; i++) {
        const struct pps_setting_row *s = &pps_settings[i];
        out[i] = (struct tool_option){tool_option_of(i), option_argument(s->values),
                                      *s->dflt ? tool_text("%s (%s)", s->meaning, s->dflt) : s->meaning};
    }
}
