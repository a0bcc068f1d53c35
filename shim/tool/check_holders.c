/* SPDX-License-Identifier: MIT
 *
 * check_holders.c: see check_holders.h.
 *
 * Whoever holds a listener may accept from it. A master that lets its children do so may hand them less than its own
 * environment, and then it alone has the library: so each holder is looked at, wherever it stands in the tree.
 */
#include "check_holders.h"
#include "loads.h"
#include "tool.h"
#include <errno.h>
#include <ppshim/trust.h>
#include <stdlib.h>
#include <string.h>

#define HOLDERS_MAX 512
#define NAMED_MAX 6

struct holder {
    const struct tool_process *process;
    struct tool_image image;
    bool readable;
};

struct look {
    struct tool_report *r;
    const struct tool_processes *all;
    const struct tool_expected *expected;
    struct holder *holders; /* of any listener, each process once */
    size_t count;
};

/* --- what a server hands on --- */

static void put_names(FILE *to, const struct tool_env *env)
{
    bool any = false;
    fputs(" LD_PRELOAD", to);
    for (size_t i = 0; env && i < env->count; i++) {
        const char *text = env->variables[i].text;
        bool ours = strncmp(text, "PPSHIM_", 7) == 0;
        any |= ours;
        if (ours)
            fprintf(to, " %.*s", (int)strcspn(text, "="), text);
    }
    if (!any)
        fputs(" PPSHIM_TRUST PPSHIM_PORTS", to);
}

void tool_note_handing_on(struct tool_report *r, const char *program, const struct tool_env *env)
{
    const char *name = strrchr(program, '/') ? strrchr(program, '/') + 1 : program;
    bool dovecot = strcmp(name, "dovecot") == 0,
         postfix = strcmp(name, "postmulti") == 0 || (strcmp(name, "master") == 0 && strstr(program, "postfix"));
    char *names = NULL;
    size_t size;
    FILE *to = tool_or_abort(open_memstream(&names, &size));
    put_names(to, env);
    fclose(to);
    if (dovecot)
        tool_note(r, "do",
                  "its children, which accept, get of its environment what /etc/dovecot/dovecot.conf names: "
                  "import_environment = $import_environment%s; from Dovecot 2.4 on "
                  "import_environment { LD_PRELOAD = %%{env:LD_PRELOAD} } with such a line for each of these",
                  names);
    if (postfix)
        tool_note(r, "do",
                  "it and its children, which accept, get of the environment what main.cf names: "
                  "postconf \"import_environment = $(postconf -dh import_environment)%s\"",
                  names);
    free(names);
}

/* --- one holder --- */

/* From a program that makes its system calls itself. */
static char *absence_from_calls(const struct tool_image *i)
{
    if (i->go.why_not)
        return tool_text("it is a Go program that cannot be served: %s", i->go.why_not);
    if (!i->elf.is_go)
        return tool_text("%s", TOOL_WHY_STATIC);
    if (i->go.is_static)
        return tool_text("it is a static Go program, and was not started by ppshim run: no preload reaches it");
    if (i->tells && !i->on)
        return tool_text("the library is loaded but off");
    return tool_text("the library is loaded, and this Go program makes its system calls without it");
}

char *tool_absence_of(const struct tool_image *i)
{
    const char *preload = tool_env_value(&i->env, "LD_PRELOAD");
    if (i->accepts == TOOL_ACCEPTS_UNHINDERED)
        return absence_from_calls(i);
    if (i->secure)
        return tool_text("it was started with privileges of its file (AT_SECURE: setuid, setgid, file "
                         "capabilities or a security module), so LD_PRELOAD was ignored");
    if (i->mapped)
        return tool_text("the library could not be loaded: %s is mapped, but not executable (NoExecPaths= "
                         "or a noexec mount): install it in /usr/lib",
                         i->library);
    if (preload && strstr(preload, "libppshim"))
        return tool_text("LD_PRELOAD=%s is in its environment, but the library was not loaded: not there "
                         "when it started, not readable for it, or of another architecture or libc",
                         preload);
    return tool_text("the library is not loaded");
}

/* The first of the settings that it does not have as it should. */
static char *difference(const struct tool_image *i, const struct tool_env *wanted)
{
    for (size_t k = 0; k < wanted->count; k++) {
        const char *text = wanted->variables[k].text;
        const struct tool_variable *v = tool_env_find(&i->env, text);
        if (strncmp(text, "PPSHIM_", 7) == 0 && (!v || strcmp(v->text, text) != 0))
            return tool_text("it was not given %s", text);
    }
    for (size_t k = 0; k < i->env.count; k++) {
        const char *text = i->env.variables[k].text;
        if (strncmp(text, "PPSHIM_", 7) == 0 && !tool_env_find(wanted, text))
            return tool_text("it has %s", text);
    }
    return NULL;
}

static char *other_settings(const struct look *look, const struct tool_image *i)
{
    const struct tool_expected *x = look->expected;
    if (i->tells && x->sum && i->settings == *x->sum)
        return NULL;
    char *what = i->sees_env && x->env ? difference(i, x->env) : NULL;
    bool differs = what || (i->tells && x->sum);
    char *text = differs ? tool_text("it runs with other settings%s%s", what ? ": " : "", what ? what : "") : NULL;
    free(what);
    return text;
}

/* Why it takes no headers; NULL: it does. The caller frees it. */
static char *fault_of(const struct look *look, const struct holder *h)
{
    const struct tool_image *i = &h->image;
    if (!h->readable)
        return tool_text("it cannot be looked at: try as root");
    if (!i->loaded)
        return tool_absence_of(i);
    if (i->secure)
        return tool_text("it was started with privileges of its file (AT_SECURE): the library is off");
    if (i->accepts == TOOL_ACCEPTS_UNHINDERED)
        return absence_from_calls(i);
    if (i->tells && !i->on)
        return tool_text("the library is loaded but off: neither PPSHIM_TRUST nor PPSHIM_HEADER_OPTIONAL reached it");
    return other_settings(look, i);
}

/* Service managers hold the sockets that they start services for. */
static bool is_service_manager(const struct holder *h)
{
    return h->process->pid == 1 || strcmp(tool_image_name(&h->image), "systemd") == 0;
}

static struct holder *holder_of(struct look *look, const struct tool_process *p)
{
    for (size_t i = 0; i < look->count; i++)
        if (look->holders[i].process == p)
            return &look->holders[i];
    if (look->count == HOLDERS_MAX)
        return NULL;
    struct holder *h = &look->holders[look->count++];
    h->process = p;
    h->readable = tool_image_read(&h->image, p->pid);
    return h;
}

/* Its parent has the listener too and runs another program: what for, if not to accept? */
static bool was_handed_it(struct look *look, const struct holder *h, unsigned long inode)
{
    const struct tool_process *parent = tool_process_find(look->all, h->process->parent);
    const struct holder *p = parent && tool_process_fd(parent, inode) >= 0 ? holder_of(look, parent) : NULL;
    return p && !is_service_manager(p) && strcmp(p->image.program, h->image.program) != 0;
}

/* --- all holders of a listener --- */

struct tally {
    unsigned holders, accepted, sure, named, faults;
    char names[256], *fault;
    const struct tool_image *faulty;
};

static void count_holder(struct look *look, struct tally *t, const struct holder *h, unsigned long inode)
{
    const struct tool_image *i = &h->image;
    size_t n = strlen(t->names);
    t->holders++;
    t->accepted += i->has_accepted;
    t->sure += i->has_accepted || i->accepts >= TOOL_ACCEPTS_ITSELF ||
               (i->accepts == TOOL_ACCEPTS_PERHAPS && was_handed_it(look, h, inode));
    if (t->named++ < NAMED_MAX)
        snprintf(t->names + n, sizeof t->names - n, "%s%.40s %d", n ? ", " : "", tool_image_name(i), (int)i->pid);
}

/* The first of those that take no headers speaks for all. Of the process that was asked for it has been said before. */
static void count_fault(struct look *look, struct tally *t, const struct holder *h)
{
    bool cannot = h->readable && h->image.accepts == TOOL_ACCEPTS_NEVER;
    char *fault = cannot || h->image.pid == look->expected->main->pid ? NULL : fault_of(look, h);
    t->faults += fault != NULL;
    if (fault && !t->fault) {
        t->fault = fault;
        t->faulty = &h->image;
    } else {
        free(fault);
    }
}

static void judge_tally(struct look *look, const struct tally *t, const char *listener)
{
    const struct tool_image *main = look->expected->main;
    char others[40] = "";
    snprintf(others, sizeof others, ", and %u others", t->faults - 1);
    if (t->fault)
        tool_judge(look->r, TOOL_VERDICT_NO, "%s (process %d%s) holds its listener %s and takes no headers: %s",
                   *t->faulty->program ? t->faulty->program : "another process", (int)t->faulty->pid,
                   t->faults > 1 ? others : "", listener, t->fault);
    else if (t->holders && !t->sure)
        tool_judge(look->r, TOOL_VERDICT_UNSURE,
                   "%s does not call accept itself, and nobody who holds its listener %s has accepted yet: check again "
                   "while a client is connected, or ppshim check --probe",
                   tool_image_name(main), listener);
    if (t->fault || !t->sure)
        tool_note_handing_on(look->r, main->program, look->expected->env);
}

static void judge_holders(struct look *look, const struct tool_socket *s)
{
    char text[120];
    struct tally t = {0};
    tool_socket_text(s, text);
    for (size_t i = 0; i < look->all->count; i++) {
        const struct tool_process *p = &look->all->list[i];
        const struct holder *h = tool_process_fd(p, s->inode) >= 0 ? holder_of(look, p) : NULL;
        if (!h || is_service_manager(h))
            continue;
        count_holder(look, &t, h, s->inode);
        count_fault(look, &t, h);
    }
    tool_note(look->r, "holders", "%s: %u process%s, %u %s accepted: %s%s", text, t.holders, t.holders == 1 ? "" : "es",
              t.accepted, t.accepted == 1 ? "has" : "have", t.names, t.named > NAMED_MAX ? ", ..." : "");
    judge_tally(look, &t, text);
    free(t.fault);
}

/* --- the listeners --- */

bool tool_socket_is_governed(const struct pps_config *c, const struct tool_socket *s)
{
    struct pps_unix_name name = pps_unix_name_of(s->unix_name, strnlen(s->unix_name, PPS_UNIX_NAME_MAX));
    return *s->unix_name ? pps_trust_names(c, &name) : pps_config_governs(c, s->local.port);
}

static void take_listener(struct look *look, const struct tool_socket *s, struct tool_listeners *found)
{
    const struct pps_config *config = look->expected->config;
    bool governed = config && tool_socket_is_governed(config, s);
    char text[120];
    if (*s->unix_name && !governed) /* of these a server has many that are nobody's business */
        return;
    found->all++;
    found->governed += governed;
    tool_note(look->r, "listener", "%s%s", tool_socket_text(s, text),
              !config    ? ""
              : governed ? ", governed"
                         : ", not in PPSHIM_PORTS");
    if (governed || look->expected->unseen)
        judge_holders(look, s);
}

struct tool_listeners tool_check_holders(struct tool_report *r, const struct tool_processes *all,
                                         const struct tool_sockets *sockets, const struct tool_expected *expected)
{
    struct look look = {.r = r, .all = all, .expected = expected};
    struct tool_listeners found = {0};
    look.holders = tool_or_abort(calloc(HOLDERS_MAX, sizeof *look.holders));
    for (size_t i = 0; i < sockets->count; i++)
        if (sockets->list[i].listens && tool_socket_is_held(all, &sockets->list[i]))
            take_listener(&look, &sockets->list[i], &found);
    for (size_t i = 0; i < look.count; i++)
        tool_image_free(&look.holders[i].image);
    free(look.holders);
    return found;
}
