/* SPDX-License-Identifier: MIT
 *
 * doctor.c: `ppshim doctor`: from nothing to a diagnosis: what this system is, what is given the library, what the log
 * told last, and the one command to run next. It changes nothing.
 */
#include "check.h"
#include "options.h"
#include "tool.h"
#include "unit_state.h"
#include "units.h"
#include <getopt.h>
#include <ppshim/client.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct tool_usage usage = {
    "doctor",
    "",
    "Says what this system is and what on it is given the library, whether that works, what the journal (and no other\n"
    "log) told of refused and of untrusted peers since the start of the system, and which command to run next. Run it\n"
    "as root: others see their own processes only. Exit status 0: nothing is wrong; 1: something is.",
    "  ppshim doctor",
    NULL,
    0,
};

#define INSTALL "make install PREFIX=/usr"

struct findings {
    char *library;
    bool outside; /* of where ppshim unit takes it */
    unsigned governed, bad;
    char *next; /* the first command that came up */
};

__attribute__((format(printf, 2, 3))) static void advise(struct findings *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tool_text_of(format, args);
    va_end(args);
    if (f->next)
        free(text);
    else
        f->next = text;
}

#define NAME_FORMAT "%-12s "

__attribute__((format(printf, 2, 3))) static void say(const char *name, const char *format, ...)
{
    va_list args;
    printf(NAME_FORMAT, name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* --- the system --- */

static void first_line(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file || !fgets(out, (int)size, file))
        *out = 0;
    out[strcspn(out, "\n")] = 0;
    if (file)
        fclose(file);
}

static void say_system(void)
{
    struct utsname name;
    char libc[128] = "", enforce[8], apparmor[8];
    uname(&name);
    bool socket = strcmp(pps_client_store(), "socket") == 0;
    say("kernel", "%s %s: clients are remembered in %s", name.sysname, name.release,
        socket ? "their sockets" : "a table of the process (they are not known after execve)");
    confstr(_CS_GNU_LIBC_VERSION, libc, sizeof libc);
    say("libc", "%s", *libc ? libc : "musl, or unknown");
    first_line("/sys/module/apparmor/parameters/enabled", apparmor, sizeof apparmor);
    first_line("/sys/fs/selinux/enforce", enforce, sizeof enforce);
    say("apparmor", "%s",
        *apparmor == 'Y' ? "on: profiles must let services map the library; in /usr/lib they do" : "off");
    say("selinux", "%s",
        *enforce == '1'
            ? "enforcing: the library must be labelled lib_t (restorecon); a domain transition drops LD_PRELOAD"
        : *enforce == '0' ? "permissive"
                          : "off");
    say("systemd", "%s", tool_systemd_runs() ? "runs" : "does not run here");
    if (geteuid() != 0)
        say("user", "not root: processes of others cannot be looked at");
}

static void say_library(struct findings *f)
{
    struct tool_elf e;
    char error[256];
    f->library = tool_find_library("", true);
    if (!f->library) {
        say("library", "libppshim.so is not installed");
        advise(f, INSTALL);
        return;
    }
    bool read = tool_elf_read(f->library, &e, error);
    char *bare = tool_resolve_preload("", "libppshim.so");
    say("library", "%s, version %s%s", f->library, read && *e.version ? e.version : "unknown",
        bare ? "" : "; a bare LD_PRELOAD=libppshim.so would not find it");
    f->outside = strncmp(f->library, "/usr/lib", 8) != 0 && strncmp(f->library, "/lib", 4) != 0;
    if (f->outside)
        say("", "warning: it is outside /usr/lib: sandboxed services cannot map it");
    free(bare);
    if (read)
        tool_elf_free(&e);
}

static void say_sandboxes(const struct findings *f)
{
    struct tool_names all;
    tool_units_all("", &all);
    for (size_t i = 0; f->library && i < all.count; i++) {
        struct tool_unit u;
        char error[512];
        if (!tool_unit_read(&u, "", all.list[i], NULL, NULL, error))
            continue;
        const char *why = tool_unit_hides(&u, f->library);
        if (why)
            say("sandbox", "%s could not load %s: %s", u.name, f->library, why);
        tool_unit_free(&u);
    }
    tool_names_free(&all);
}

/* --- what is governed --- */

static void tell(struct tool_report *r, void *with)
{
    struct findings *f = with;
    bool good = !r->judged;
    f->governed++;
    f->bad += !good;
    printf(NAME_FORMAT, "governed");
    tool_report_print_line(r, false);
    if (!good && strstr(r->because, "a restart is needed"))
        advise(f, "systemctl restart %s", r->subject);
    else if (!good && strncmp(r->subject, "process ", 8) == 0)
        advise(f, "ppshim check %.*s", (int)strcspn(r->subject + 8, " "), r->subject + 8);
    else if (!good)
        advise(f, "ppshim check %s", r->subject);
}

/* --- what the journal told --- */

#define REASONS_MAX 32

struct told {
    char reason[40], last[200];
    unsigned count;
};

static void count_told(struct told *told, const char *reason, const char *line)
{
    size_t length = strcspn(reason, " \n");
    for (int i = 0; i < REASONS_MAX; i++) {
        bool new = !told[i].count;
        if (!new && (strlen(told[i].reason) != length || strncmp(told[i].reason, reason, length) != 0))
            continue;
        told[i].count++;
        snprintf(told[i].reason, sizeof told[i].reason, "%.*s", (int)length, reason);
        snprintf(told[i].last, sizeof told[i].last, "%.*s", (int)strcspn(line, "\n"), line);
        return;
    }
}

static void read_journal(struct told *told, char untrusted[200])
{
    char *line = NULL;
    size_t size = 0;
    FILE *from = popen(
        "journalctl -b -q --no-pager -o cat -n 2000 --grep 'reject peer=|first-untrusted peer=' 2>/dev/null", "re");
    while (from && getline(&line, &size, from) > 0) {
        const char *reason = strstr(line, " reason="), *peer = strstr(line, "peer=");
        if (strstr(line, "reject peer=") && reason)
            count_told(told, reason + 8, peer);
        else if (peer)
            snprintf(untrusted, 200, "%.*s", (int)strcspn(peer, "\n"), peer);
    }
    if (from)
        pclose(from);
    free(line);
}

static void say_journal(struct findings *f)
{
    char untrusted[200] = "";
    if (!tool_systemd_runs()) {
        say("journal", "none here: look for reject and first-untrusted lines where the servers log (man libppshim, "
                       "Where the lines are)");
        return;
    }
    struct told *told = tool_or_abort(calloc(REASONS_MAX, sizeof *told));
    read_journal(told, untrusted);
    for (int i = 0; i < REASONS_MAX && told[i].count; i++)
        say("rejected", "%u %s, last %s", told[i].count, told[i].reason, told[i].last);
    if (*untrusted)
        say("untrusted", "%s: in no list; if that is a balancer, its raw headers reach the server", untrusted);
    if (told[0].count)
        advise(f, "journalctl -b --grep 'reject peer=' (the reasons: man libppshim)");
    say("journal",
        "%sonly what is in it is seen here, not what servers log elsewhere, like PostgreSQL, Dovecot and containers "
        "(man libppshim, Where the lines are)",
        told[0].count || *untrusted ? "" : "no refused and no untrusted peer since the start of the system; ");
    free(told);
}

/* --- the verb --- */

int tool_doctor(int argc, char **argv)
{
    struct findings f = {0};
    const char *value;
    for (int option; (option = tool_option_next(argc, argv, &usage, &value)) != TOOL_OPTION_END;)
        return option == TOOL_OPTION_HELP ? TOOL_OK : TOOL_USAGE;
    if (optind != argc)
        return tool_fail(TOOL_USAGE, "doctor", "it takes no argument (try ppshim doctor --help)");
    say_system();
    say_library(&f);
    say_sandboxes(&f);
    tool_tell_units("", f.library, tell, &f);
    tool_tell_processes(tell, &f);
    if (!f.governed)
        say("governed", "nothing: no service and no process that listens is given the library");
    say_journal(&f);
    bool wrong = f.bad || !f.governed || !f.library;
    if (!f.governed && f.outside)
        advise(&f, INSTALL);
    else if (!f.governed)
        advise(&f, "ppshim unit NAME --trust LIST --ports PORTS --install");
    advise(&f, "ppshim check --probe NAME (a connection that shows it)");
    say("next", "%s", f.next);
    free(f.next);
    free(f.library);
    return wrong ? TOOL_NO : TOOL_OK;
}
