/* SPDX-License-Identifier: MIT
 *
 * check.c: `ppshim check`: what is asked, and who answers it (check.h).
 */
#include "check.h"
#include "elf.h"
#include "options.h"
#include "tool.h"
#include "unit_find.h"
#include "unit_socket.h"
#include "units.h"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTINGS, PROBE, LOADED, JSON, LIBRARY, ROOT, OPTIONS };

static const struct tool_option options_table[OPTIONS] = {
    [SETTINGS] = {"settings", NULL, "look at settings alone"},
    [PROBE] = {"probe", NULL, "connect to it, and see what becomes of the connections"},
    [LOADED] = {"loaded", NULL, "look at nothing but whether a process has loaded the library"},
    [JSON] = {"json", NULL, "one JSON object instead of lines"},
    [LIBRARY] = {"library", "PATH", "the library to be preloaded, if not the installed one"},
    [ROOT] = {"root", "DIR", "look for units and what they name below DIR"},
};

static const struct tool_usage usage = {
    "check",
    "[OPTION]... [PROGRAM|PID|UNIT]\n       ppshim check --settings [OPTION]... UNIT|FILE\n       ppshim check "
    "--loaded [PID]\n       ppshim check --probe UNIT|PID|HOST:PORT",
    "Says whether libppshim can serve a program, does serve a running process, or would serve a systemd unit.\n"
    "`way` is how the shim comes into a program: preload; Go by preload, if it is linked dynamically; Go by "
    "injection,\n"
    "by ppshim run, if it is static; or none.\n"
    "With --settings: whether the next start of a unit would be served, or whether the library would accept the\n"
    "settings of a file as in EnvironmentFile=. A name is a service's first, then a program's.\n"
    "With --probe: connects to it from addresses of this host, with a header, without one, and untrusted, and asks\n"
    "the server what became of each.\n"
    "Without a name: all services and processes that are given the library, with a verdict each; a template like\n"
    "ssh@.service with that of an instance's next start.\n"
    "With --loaded: what the drop-in of ppshim unit asks behind each start; without PID, of the service it runs in.\n"
    "The first line is the verdict. Exit status: 0 ok, 1 no or unsure, 2 wrong usage, 78 a setting is wrong.",
    "  ppshim check --settings mariadb && systemctl restart mariadb && ppshim check mariadb",
    options_table,
    OPTIONS,
};

struct options {
    bool settings, probe, loaded, json;
    const char *library, *root;
};

static bool is_number(const char *text)
{
    return *text && strlen(text) < 10 && text[strspn(text, "0123456789")] == 0;
}

static bool ends_in_service(const char *name)
{
    size_t length = strlen(name);
    return length > 8 && strcmp(name + length - 8, ".service") == 0;
}

static void check_program(const struct options *o, const char *path, struct tool_report *r)
{
    char *library = o->library ? strdup(o->library) : tool_find_library("", true);
    r->subject = tool_text("%s", path);
    tool_check_program(r, path, library, true);
    tool_judge_ok(r, "the library can serve it");
    free(library);
}

/* false: there is no such unit. */
static bool check_unit(const struct options *o, const char *what, struct tool_report *r, char error[512])
{
    char name[256];
    struct tool_unit unit;
    if (strchr(what, '/') || !tool_unit_name(what, name)) {
        char *hint = tool_socket_hint(o->root, what);
        snprintf(error, 512, "%.200s: no service can have that name%s", what, hint);
        free(hint);
        return false;
    }
    if (!tool_unit_read(&unit, o->root, name, NULL, NULL, error))
        return false;
    char *library = o->library ? strdup(o->library) : tool_find_library(o->root, true);
    r->subject = tool_text("%s", unit.name);
    (o->settings ? tool_check_next_start : tool_check_unit)(r, &unit, library);
    free(library);
    tool_unit_free(&unit);
    return true;
}

/* With its unit's settings beside, where it is of one. */
static void check_process(const char *what, struct tool_report *r)
{
    pid_t pid = (pid_t)atoi(what);
    struct tool_unit unit;
    char name[256], error[512];
    r->subject = tool_text("process %s", what);
    bool of_unit = tool_process_unit(pid, name) && tool_unit_read(&unit, "", name, NULL, NULL, error);
    if (of_unit && tool_unit_is_governed(&unit))
        tool_note(r, "unit", "%s", unit.name);
    tool_check_process(r, pid, of_unit && tool_unit_is_governed(&unit) ? &unit.env : NULL);
    if (of_unit)
        tool_unit_free(&unit);
}

static int refuse_name(const struct options *o, const char *what)
{
    char *hint = tool_socket_hint(o->root, what);
    int status =
        tool_fail(TOOL_NO, "check", "%s: there is neither such a service nor such a program in PATH%s", what, hint);
    free(hint);
    return status;
}

/* A name is a service's first, then a program's. */
static int check(const struct options *o, const char *what, struct tool_report *r)
{
    char error[512];
    if (is_number(what))
        return check_process(what, r), TOOL_OK;
    char *program = *o->root && !strchr(what, '/') ? NULL : tool_find_program(what);
    if (!strchr(what, '/') && check_unit(o, what, r, error)) {
        if (program && !ends_in_service(what))
            tool_note(r, "name", "the service; the program of that name is %s", program);
    } else if (program || strchr(what, '/')) {
        check_program(o, program ? program : what, r);
    } else {
        return refuse_name(o, what);
    }
    free(program);
    return TOOL_OK;
}

/* --- settings --- */

static void check_settings_file(const char *path, struct tool_report *r)
{
    struct tool_env env = {0};
    r->subject = tool_text("%s", path);
    if (!tool_env_read_file(&env, path, path)) {
        tool_judge(r, TOOL_VERDICT_NO, "it cannot be read: %m");
        return;
    }
    tool_check_settings(r, &env, "", NULL);
    tool_judge_ok(r, "the library accepts these settings");
    tool_env_free(&env);
}

static int check_settings(const struct options *o, const char *what, struct tool_report *r)
{
    char error[512];
    bool is_file = strchr(what, '/') || (access(what, F_OK) == 0 && !ends_in_service(what));
    if (is_file)
        check_settings_file(what, r);
    else if (!check_unit(o, what, r, error))
        return tool_fail(TOOL_NO, "check", "%s, nor is it a file", error);
    return TOOL_OK;
}

static int probe(const struct options *o, const char *what, struct tool_report *r)
{
    char error[512];
    (void)o;
    r->subject = tool_text("%s", what);
    return tool_check_probe(r, what, error) ? TOOL_OK : tool_fail(TOOL_NO, "check", "%s", error);
}

static void note_option(struct options *o, int option, const char *value)
{
    o->settings |= option == SETTINGS;
    o->probe |= option == PROBE;
    o->loaded |= option == LOADED;
    o->json |= option == JSON;
    if (option == LIBRARY)
        o->library = value;
    else if (option == ROOT)
        o->root = strcmp(value, "/") == 0 ? "" : value;
}

/* --- all of them --- */

struct listing {
    bool json;
    unsigned count;
    int status; /* the gravest */
};

static void tell_line(struct tool_report *r, void *with)
{
    struct listing *l = with;
    int status = tool_report_print_line(r, l->json);
    l->count++;
    l->status = status > l->status ? status : l->status;
}

int tool_list_governed(const char *root, const char *library, bool json, bool processes)
{
    struct listing l = {.json = json};
    char *found = library ? NULL : tool_find_library(root, true);
    tool_tell_units(root, library ? library : found, tell_line, &l);
    if (processes)
        tool_tell_processes(tell_line, &l);
    free(found);
    if (!l.count)
        return tool_fail(TOOL_NO, processes ? "check" : "unit", "nothing is given the library: no service%s",
                         processes ? " and no process that listens" : "");
    return l.status;
}

/* --- the verb --- */

/* Its line goes to the journal of the service. */
static int check_loaded(const struct options *o, int count, char **given)
{
    struct tool_report r = {0};
    if (count > 1 || (count == 1 && !is_number(*given)))
        return tool_fail(TOOL_USAGE, "check", "--loaded takes one process id, or none");
    r.subject = tool_text("loaded");
    tool_check_loaded(&r, count ? (pid_t)atoi(*given) : 0);
    int status = o->json || r.judged ? tool_report_print(&r, o->json) : TOOL_OK;
    tool_report_free(&r);
    return status;
}

int tool_check(int argc, char **argv)
{
    struct options o = {.root = ""};
    struct tool_report r = {0};
    const char *value;
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;) {
        if (option < 0)
            return option == TOOL_OPTION_HELP ? TOOL_OK : TOOL_USAGE;
        note_option(&o, option, value);
    }
    if (o.loaded)
        return check_loaded(&o, argc - optind, argv + optind);
    if (optind == argc && !o.settings && !o.probe)
        return tool_list_governed(o.root, o.library, o.json, !*o.root);
    if (argc - optind != 1)
        return tool_fail(TOOL_USAGE, "check", "name one program, process or unit (try ppshim check --help)");
    int status = (o.probe ? probe : o.settings ? check_settings : check)(&o, argv[optind], &r);
    if (status == TOOL_OK)
        status = tool_report_print(&r, o.json);
    tool_report_free(&r);
    return status;
}
