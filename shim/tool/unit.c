/* SPDX-License-Identifier: MIT
 *
 * unit.c: `ppshim unit`: gives a systemd service the preload, and takes it away again.
 *
 * Nothing is written that `ppshim check` would say no to, and nothing that would have no effect: the unit is read again
 * as it would be with the new text in it, and what it would then give its process must be what was asked for.
 */
#include "unit.h"
#include "check.h"
#include "elf.h"
#include "options.h"
#include "tool.h"
#include "unit_find.h"
#include "unit_socket.h"
#include "unit_state.h"
#include "units.h"
#include <getopt.h>
#include <ppshim/settings.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PRINT = PPS_SET_COUNT, INSTALL, REMOVE, LIST, NO_GUARD, LIBRARY, ROOT, OPTIONS };

struct job {
    int what; /* INSTALL, REMOVE, PRINT */
    const char *root, *library, *values[PPS_SET_COUNT];
    bool no_guard;
    bool by_file; /* LD_PRELOAD needs a file, for one of the unit's sets it as well */
    char *found;  /* the library, if it was not named */
    struct tool_unit unit;
};

static const struct tool_usage *make_usage(void)
{
    static struct tool_option options[OPTIONS] = {
        [PRINT] = {"print", NULL, "print what --install would write, and where (this is the default)"},
        [INSTALL] = {"install", NULL, "write it"},
        [REMOVE] = {"remove", NULL, "take it away"},
        [LIST] = {"list", NULL, "print each service that is given the library, with a verdict"},
        [NO_GUARD] = {"no-guard", NULL, "let the service run even if the library could not be loaded"},
        [LIBRARY] = {"library", "PATH", "the library, if not the installed one; it must be in /usr/lib or /lib"},
        [ROOT] = {"root", "DIR", "work on the system below DIR"},
    };
    static const struct tool_usage usage = {
        "unit",
        "NAME[.service] --trust LIST --ports PORTS [OPTION]...\n       ppshim unit NAME[.service] --remove\n       "
        "ppshim unit --list",
        "Gives a systemd service the preload and its settings by a drop-in; a PostgreSQL cluster of Debian's\n"
        "(postgresql@15-main) by the file `environment` of its configuration. Restarts nothing. In place of\n"
        "--trust, or beside it, --header-optional will do. Exit status: 0 done, 1 not done, 2 wrong usage, 78 a\n"
        "setting is wrong.\n\n" TOOL_SETTING_FORMS,
        "  ppshim unit mariadb.service --trust 10.108.0.0/24 --ports 3306 --install",
        options,
        OPTIONS,
    };
    tool_setting_options(options);
    return &usage;
}

/* --- what is refused before anything is written --- */

static bool in_library_directory(const char *path)
{
    static const char *const places[] = {"/usr/lib/", "/usr/lib32/", "/usr/lib64/", "/usr/libx32/",
                                         "/lib/",     "/lib32/",     "/lib64/",     "/libx32/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (strncmp(path, places[i], strlen(places[i])) == 0)
            return !strstr(path, "/../") && !strpbrk(path, ": \t\n");
    return false;
}

/* Links below the root are followed as long as they stay there. */
static bool real_place_is_good(const char *root, const char *library)
{
    char full[PATH_MAX], *real, *real_root;
    if (snprintf(full, sizeof full, "%s%s", root, library) >= (int)sizeof full || !(real = realpath(full, NULL)))
        return false;
    real_root = *root ? realpath(root, NULL) : strdup("");
    size_t length = real_root ? strlen(real_root) : 0;
    bool good = real_root && strncmp(real, real_root, length) == 0 && in_library_directory(real + length);
    free(real);
    free(real_root);
    return good;
}

static int choose_library(struct job *j)
{
    if (!j->library)
        j->library = j->found = tool_find_library(j->root, true);
    if (!j->library)
        return tool_fail(TOOL_NO, "unit",
                         "libppshim.so is not installed: make install PREFIX=/usr, or name it with --library");
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", j->root, j->library);
    if (*j->library != '/' || access(full, R_OK) != 0)
        return tool_fail(TOOL_NO, "unit", "%s: there is no such library (an absolute path is needed)", full);
    if (!in_library_directory(j->library) || !real_place_is_good(j->root, j->library))
        return tool_fail(TOOL_NO, "unit",
                         "%s is outside /usr/lib: sandboxed services (redis-server.service for one) "
                         "could not map it and would run without it: make install PREFIX=/usr",
                         j->library);
    return TOOL_OK;
}

/* What else the name may have meant, to go behind its refusal. The caller frees it. */
static char *hint_of(const struct job *j, const char *given)
{
    struct stat st;
    char *program = *j->root ? NULL : tool_find_program(given);
    bool starts = program && access(program, X_OK) == 0 && stat(program, &st) == 0 && S_ISREG(st.st_mode);
    char *hint =
        starts ? tool_text("; %s is a program: ppshim run starts it", program) : tool_socket_hint(j->root, given);
    free(program);
    return hint;
}

static int refuse_name(const struct job *j, int status, const char *given, const char *why)
{
    char *hint = hint_of(j, given);
    tool_fail(status, "unit", "%s%s", why, hint);
    free(hint);
    return status;
}

static int find_unit(struct job *j, const char *given)
{
    char name[256], error[512], full[PATH_MAX];
    struct tool_unit *u = &j->unit;
    if (!tool_unit_name(given, name)) {
        snprintf(error, sizeof error, "%.300s: no service can have that name", given);
        return refuse_name(j, TOOL_USAGE, given, error);
    }
    bool found = tool_unit_read(u, j->root, name, UNIT_DROPIN, "", error);
    if (j->what == REMOVE) /* also of a package that is gone, or when it was masked */
        return TOOL_OK;
    if (!found)
        return refuse_name(j, TOOL_NO, given, error);
    char *others = tool_unit_stands_for(u);
    if (others)
        return tool_fail(TOOL_NO, "unit", "%s starts no server itself: name one of those that do: %s", u->name, others);
    if (u->masked)
        return tool_fail(TOOL_NO, "unit", "%s is masked", u->name);
    if (tool_unit_is_template(u->name))
        return tool_fail(TOOL_NO, "unit",
                         "%s is a template: name one instance of it (for what a socket starts: man libppshim, INETD "
                         "SERVICES)",
                         u->name);
    snprintf(full, sizeof full, "%s%s/postgresql.conf", j->root, u->cluster);
    if (*u->cluster && access(full, F_OK) != 0)
        return tool_fail(TOOL_NO, "unit", "%s: there is no cluster in %s", u->name, u->cluster);
    return TOOL_OK;
}

/* --- the variables --- */

/* Of a value of LD_PRELOAD all but entries of ours, and the library behind them. The caller frees it. */
static char *preload_with(const char *before, const char *library)
{
    char *out = NULL;
    size_t size;
    FILE *to = tool_or_abort(open_memstream(&out, &size));
    for (before = before ? before : ""; *before;) {
        before += strspn(before, ": \t");
        size_t length = strcspn(before, ": \t");
        const char *ours = memmem(before, length, "libppshim", 9);
        if (length && !ours)
            fprintf(to, "%.*s:", (int)length, before);
        before += length;
    }
    fputs(library, to);
    fclose(to);
    return out;
}

static void set(struct tool_env *env, const char *name, const char *value)
{
    char *text = tool_text("%s=%s", name, value);
    tool_env_set(env, text, "the command line", 0);
    free(text);
}

static void gather(const struct job *j, struct tool_env *wanted)
{
    const char *before = tool_env_value(&j->unit.env, "LD_PRELOAD");
    char *preload = preload_with(before, j->library);
    set(wanted, "LD_PRELOAD", preload);
    for (int i = 0; i < PPS_SET_COUNT; i++)
        if (j->values[i])
            set(wanted, pps_settings[i].name, j->values[i]);
    free(preload);
}

/* --- installing --- */

/* Nothing else that the unit sets may undo or join what is wanted: its files win over Environment=. */
static int compare(const struct tool_unit *then, const struct tool_env *wanted)
{
    for (size_t i = 0; i < wanted->count; i++) {
        const char *text = wanted->variables[i].text;
        const struct tool_variable *v = tool_env_find(&then->env, text);
        if (v && strcmp(v->text, text) == 0)
            continue;
        return tool_fail(TOOL_NO, "unit", "%.*s would not take effect: %s %s", (int)strcspn(text, "="), text,
                         v ? v->where : "a later Environment= or UnsetEnvironment=",
                         v ? "sets it as well, and wins" : "takes it away");
    }
    return TOOL_OK;
}

/* Without the place in a file that is not written yet. */
static const char *as_asked(const char *because)
{
    const char *rest = strncmp(because, UNIT_DROPIN ":", strlen(UNIT_DROPIN ":")) == 0 ? strstr(because, ": ") : NULL;
    return rest ? rest + 2 : because;
}

/* The checks that a report makes: all that is wrong to stderr, its verdict first. */
static int judge(const struct job *j, const struct tool_unit *then)
{
    struct tool_report r = {.subject = strdup(then->name)};
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s%s", j->root, j->library);
    tool_check_unit_files(&r, then, full, false);
    int status = TOOL_OK;
    if (r.judged && r.verdict >= TOOL_VERDICT_NO)
        status = tool_fail(r.verdict == TOOL_VERDICT_CONFIG ? TOOL_CONFIG : TOOL_NO, "unit", "%s", as_asked(r.because));
    else if (r.judged)
        fprintf(stderr, "ppshim unit: warning: %s\n", r.because);
    for (unsigned i = 0; i < r.count; i++) {
        const struct tool_fact *f = &r.facts[i];
        if (strcmp(f->name, "also") == 0)
            fprintf(stderr, "ppshim unit: %s%s\n", status == TOOL_OK ? "warning: " : "", as_asked(f->text));
        else if (status == TOOL_OK && (f->warning || strcmp(f->name, "do") == 0))
            fprintf(stderr, "ppshim unit: %s%s\n", f->warning ? "warning: " : "", f->text);
    }
    tool_report_free(&r);
    return status;
}

static void say_written(const struct job *j, const char *path, bool changed)
{
    printf("%s %s\n", !changed ? "unchanged:" : j->what == REMOVE ? "removed from" : "written:", path);
}

static int restart_hint(const struct job *j)
{
    bool running = !*j->root && tool_systemd_runs();
    if (running && system("systemctl daemon-reload") != 0)
        return tool_fail(TOOL_NO, "unit", "systemctl daemon-reload failed");
    printf("It takes effect when you restart the service: systemctl restart %s\n", j->unit.name);
    return TOOL_OK;
}

/* --- the two ways: a drop-in; or PostgreSQL's file, and a drop-in that guards it --- */

struct text {
    char *path, *text;
    bool keep_owner;
};
#define TEXTS_MAX 2

/* Where this tool is, or will be, on the system below the root. NULL: nowhere. The caller frees it. */
static char *tool_there(const char *root)
{
    static const char *const places[] = {"/usr/bin/ppshim", "/usr/local/bin/ppshim"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *full = tool_text("%s%s", root, places[i]);
        bool there = access(full, X_OK) == 0;
        free(full);
        if (there)
            return tool_text("%s", places[i]);
    }
    return *root ? NULL : realpath("/proc/self/exe", NULL);
}

static void free_texts(struct text texts[TEXTS_MAX], int *count)
{
    for (; *count; --*count) {
        free(texts[*count - 1].path);
        free(texts[*count - 1].text);
        texts[*count - 1] = (struct text){0};
    }
}

static int make_texts(const struct job *j, const struct tool_env *wanted, struct text texts[TEXTS_MAX], int *count)
{
    bool guarded = !j->no_guard && !j->unit.oneshot;
    char *guard = guarded ? tool_there(j->root) : NULL;
    bool cluster = *j->unit.cluster;
    *count = 1 + (cluster ? guard != NULL : j->by_file);
    if (guarded && !guard)
        fprintf(stderr,
                "ppshim unit: warning: ppshim is not installed there: nothing will look whether the library was "
                "loaded\n");
    texts[0].keep_owner = cluster;
    int status = cluster ? unit_cluster_text(&j->unit, wanted, &texts[0].path, &texts[0].text)
                         : unit_dropin_text(&j->unit, wanted, guard, j->by_file, &texts[0].path, &texts[0].text);
    if (status == TOOL_OK && cluster && guard)
        status = unit_dropin_text(&j->unit, NULL, guard, false, &texts[1].path, &texts[1].text);
    else if (status == TOOL_OK && j->by_file)
        status = unit_preload_text(&j->unit, wanted, &texts[1].path, &texts[1].text);
    free(guard);
    return status;
}

/* The unit as it would be. */
static int read_then(const struct job *j, const struct text *main, struct tool_unit *then)
{
    char error[512];
    if (*j->unit.cluster)
        unit_cluster_read(then, &j->unit, main->text);
    else if (!tool_unit_read(then, j->root, j->unit.name, UNIT_DROPIN, main->text, error))
        return tool_fail(TOOL_NO, "unit", "%s", error);
    return TOOL_OK;
}

/* The file that is to be written beside the drop-in, if it is the one that counts. */
static void read_preload(const struct text *file, const struct tool_env *wanted, struct tool_unit *then)
{
    const struct tool_variable *v = tool_env_find(wanted, "LD_PRELOAD");
    free(then->missing_file);
    then->missing_file = NULL;
    if (v && then->last_file && strcmp(then->last_file, file->path) == 0)
        tool_env_set(&then->env, v->text, file->path, 2);
}

/* Another file of the unit sets LD_PRELOAD, and wins over Environment=. */
static bool needs_file(const struct job *j, const struct tool_unit *then, const struct tool_env *wanted)
{
    const struct tool_variable *is = tool_env_find(&then->env, "LD_PRELOAD"),
                               *shall = tool_env_find(wanted, "LD_PRELOAD");
    return !*j->unit.cluster && is && strcmp(is->text, shall->text) != 0 && then->last_file;
}

static int write_texts(const struct job *j, const struct text texts[TEXTS_MAX], int count)
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        bool changed = false;
        int status = unit_write(j->root, texts[i].path, texts[i].text, texts[i].keep_owner, &changed);
        if (status != TOOL_OK)
            return status;
        say_written(j, texts[i].path, changed);
        any |= changed;
    }
    if (*j->unit.cluster && count == 1) { /* a guard of an earlier time */
        char *path;
        bool changed = false;
        int status = unit_dropin_remove(&j->unit, &path, &changed);
        free(path);
        if (status != TOOL_OK)
            return status;
        any |= changed;
    }
    return any ? restart_hint(j) : TOOL_OK;
}

static int install(struct job *j)
{
    struct tool_env wanted = {0};
    struct tool_unit then = {0};
    struct text texts[TEXTS_MAX] = {{0}};
    int count = 0;
    gather(j, &wanted);
    int status = make_texts(j, &wanted, texts, &count);
    if (status == TOOL_OK)
        status = read_then(j, &texts[0], &then);
    if (status == TOOL_OK && needs_file(j, &then, &wanted)) {
        j->by_file = true;
        free_texts(texts, &count);
        tool_unit_free(&then);
        status = make_texts(j, &wanted, texts, &count);
        if (status == TOOL_OK && (status = read_then(j, &texts[0], &then)) == TOOL_OK)
            read_preload(&texts[1], &wanted, &then);
    }
    if (status == TOOL_OK)
        status = compare(&then, &wanted);
    if (status == TOOL_OK)
        status = judge(j, &then);
    if (status == TOOL_OK && j->what == INSTALL)
        status = write_texts(j, texts, count);
    for (int i = 0; i < count && status == TOOL_OK && j->what == PRINT; i++)
        printf("%s# %s\n%s", i ? "\n" : "", texts[i].path, texts[i].text);
    free_texts(texts, &count);
    tool_unit_free(&then);
    tool_env_free(&wanted);
    return status;
}

static int take_away(struct job *j)
{
    bool any = false;
    int status = TOOL_OK;
    for (int i = *j->unit.cluster ? 0 : 1; i < 2 && status == TOOL_OK; i++) {
        char *path = NULL;
        bool changed = false;
        status = (i ? unit_dropin_remove : unit_cluster_remove)(&j->unit, &path, &changed);
        if (status == TOOL_OK && (changed || i == 0 || !*j->unit.cluster))
            say_written(j, path, changed);
        any |= changed;
        free(path);
    }
    return status == TOOL_OK && any ? restart_hint(j) : status;
}

static int run(struct job *j, const char *name)
{
    bool listed = j->values[PPS_SET_TRUST] || j->values[PPS_SET_HEADER_OPTIONAL];
    if (j->what != REMOVE && (!listed || !j->values[PPS_SET_PORTS]))
        return tool_fail(TOOL_USAGE, "unit",
                         "say who must send a header and where: --trust LIST --ports PORTS (or who may: "
                         "--header-optional LIST)");
    int status = find_unit(j, name);
    if (status == TOOL_OK && j->what != REMOVE)
        status = choose_library(j);
    if (status == TOOL_OK)
        status = j->what == REMOVE ? take_away(j) : install(j);
    tool_unit_free(&j->unit);
    free(j->found);
    return status;
}

static int note_option(struct job *j, int option, const char *value)
{
    bool is_action = option == PRINT || option == INSTALL || option == REMOVE || option == LIST;
    if (is_action && j->what && j->what != option)
        return tool_fail(TOOL_USAGE, "unit", "one of --print, --install, --remove and --list");
    if (is_action)
        j->what = option;
    else if (option == NO_GUARD)
        j->no_guard = true;
    else if (option == LIBRARY)
        j->library = value;
    else if (option == ROOT)
        j->root = strcmp(value, "/") == 0 ? "" : value;
    else
        j->values[option] = value;
    return TOOL_OK;
}

int tool_unit(int argc, char **argv)
{
    struct job j = {.root = ""};
    const struct tool_usage *usage = make_usage();
    const char *value;
    for (int option; (option = tool_option_next(argc, argv, usage, &value)) != TOOL_OPTION_END;) {
        if (option == TOOL_OPTION_HELP)
            return TOOL_OK;
        if (option == TOOL_OPTION_WRONG || note_option(&j, option, value) != TOOL_OK)
            return TOOL_USAGE;
    }
    if (j.what == LIST && optind == argc)
        return tool_list_governed(j.root, j.library, false, false);
    if (argc - optind != 1 || j.what == LIST)
        return tool_fail(TOOL_USAGE, "unit", "name one service (try ppshim unit --help)");
    j.what = j.what ? j.what : PRINT;
    return run(&j, argv[optind]);
}
