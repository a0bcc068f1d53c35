/* SPDX-License-Identifier: MIT
 *
 * trust.c: the lists in force: loaded, checked against each other, published, replaced, read (trust.h).
 *
 * Owns the one pointer to the lists in force, and what became of the last try to replace them. Must never open a file
 * (trust_list.c does), call malloc (a reload happens inside accept, which servers call from signal handlers), or wait
 * for another thread.
 *
 * Threads: readers count themselves in and out; a reload swaps the pointer and frees what it replaced once it has seen
 * no reader after the swap. One thread reloads at a time, with signals blocked and cancellation off, so that no handler
 * finds its own thread half way through. Fork: the child goes on with the lists it inherited.
 */
#include "trust_internal.h"
#include <ppshim/cidr.h>
#include <ppshim/quiet.h>
#include <ppshim/readers.h>
#include <ppshim/trust.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_EVERY_MS 1000
#define SETTLE_MS 500 /* half of it: a file still being written costs one look more */

enum { TRUST, OPTIONAL, ALLOW, DENY, EXEMPT, LISTS };

/* In a mapping of its own. Once published, readers read the sets, which never change; the rest is the looker's. */
struct lists {
    struct pps_list list[LISTS];
    struct lists *next_retired;
};

static _Atomic(struct lists *) current;
static atomic_uint readers; /* threads (and handlers) that may hold `current` as it was or is */
static _Thread_local pps_readers_mine reading;

static _Atomic(const struct pps_config *) watched; /* NULL: no list comes from a file, there is nothing to look at */
static _Atomic uint32_t last_look_ms;
static atomic_bool looking; /* owns what follows */
static struct lists *retired;
static enum pps_list_verdict tried; /* what came of reloading the files as they are now; GOOD: not tried yet */

/* --- all lists --- */

static const char *text_of(const struct pps_config *c, int list)
{
    const char *const text[LISTS] = {c->trust, c->header_optional, c->client_allow, c->client_deny, c->limit_exempt};
    return text[list];
}

static const char *name_of(int list)
{
    static const enum pps_setting of[LISTS] = {PPS_SET_TRUST, PPS_SET_HEADER_OPTIONAL, PPS_SET_CLIENT_ALLOW,
                                               PPS_SET_CLIENT_DENY, PPS_SET_LIMIT_EXEMPT};
    return pps_settings[of[list]].name;
}

static bool listeners_apart(const struct pps_list *trust, const struct pps_list *optional, char *error)
{
    char shown[96], entry[PPS_UNIX_NAME_TEXT], quoted[96];
    for (unsigned i = 0; i < optional->listener_count; i++) {
        if (!pps_list_has_listener(trust, &optional->listeners[i]))
            continue;
        size_t length = pps_unix_name_entry(&optional->listeners[i], entry);
        snprintf(error, PPS_ERROR_TEXT, "%s=%s: %s is in %s as well: take it out of one of the two", optional->setting,
                 pps_cidr_quote(shown, sizeof shown, optional->text, strlen(optional->text)),
                 pps_cidr_quote(quoted, sizeof quoted, entry, length), trust->setting);
        return false;
    }
    return true;
}

static bool apart(const struct pps_list *trust, const struct pps_list *optional, char *error)
{
    struct pps_addr common;
    char shown[96], address[PPS_ADDR_TEXT];
    if (!listeners_apart(trust, optional, error))
        return false;
    if (pps_cidr_disjoint(&trust->set, &optional->set, &common))
        return true;
    pps_cidr_ip_text(&common, address);
    snprintf(error, PPS_ERROR_TEXT, "%s=%s: %s is in %s as well: take it out of one of the two, with !%s for example",
             optional->setting, pps_cidr_quote(shown, sizeof shown, optional->text, strlen(optional->text)), address,
             trust->setting, address);
    return false;
}

/* A list with files is not known here: an exclusion in one may settle what looks like a conflict. */
bool pps_trust_check_apart(const char *trust, const char *header_optional, char error[PPS_ERROR_TEXT])
{
    struct pps_list a = {.setting = name_of(TRUST), .text = trust};
    struct pps_list b = {.setting = name_of(OPTIONAL), .text = header_optional};
    if (strchr(trust, '@') || strchr(header_optional, '@'))
        return true;
    bool good = pps_list_read(&a, error) == PPS_LIST_GOOD && pps_list_read(&b, error) == PPS_LIST_GOOD;
    good = good && apart(&a, &b, error);
    pps_list_free(&a);
    pps_list_free(&b);
    return good;
}

static void destroy(struct lists *l)
{
    for (int i = 0; i < LISTS; i++)
        pps_list_free(&l->list[i]);
    munmap(l, sizeof *l);
}

static enum pps_list_verdict fill(struct lists *l, char *error)
{
    enum pps_list_verdict verdict = PPS_LIST_GOOD;
    for (int i = 0; i < LISTS && verdict == PPS_LIST_GOOD; i++) {
        if (l->list[i].text)
            verdict = pps_list_read(&l->list[i], error);
    }
    if (verdict == PPS_LIST_GOOD && !apart(&l->list[TRUST], &l->list[OPTIONAL], error))
        verdict = PPS_LIST_WRONG;
    return verdict;
}

/* Not read yet. NULL: no memory. */
static struct lists *new_lists(const struct pps_config *c)
{
    struct lists *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (l == MAP_FAILED)
        return NULL;
    for (int i = 0; i < LISTS; i++) {
        l->list[i].setting = name_of(i);
        l->list[i].text = text_of(c, i);
    }
    return l;
}

/* Lists nobody else knows yet; NULL and an error if *verdict is not good. */
static struct lists *build(const struct pps_config *c, char *error, enum pps_list_verdict *verdict)
{
    struct lists *l = new_lists(c);
    if (!l) {
        *verdict = PPS_LIST_NOT_NOW;
        snprintf(error, PPS_ERROR_TEXT, "%s=...: no memory left for the list", name_of(TRUST));
        return NULL;
    }
    *verdict = fill(l, error);
    if (*verdict == PPS_LIST_GOOD)
        return l;
    destroy(l);
    return NULL;
}

static unsigned lists_with_files(const struct lists *l)
{
    unsigned n = 0;
    for (int i = 0; i < LISTS; i++)
        n += l->list[i].file_count > 0;
    return n;
}

/* --- loading and reloading --- */

bool pps_trust_load(const struct pps_config *config, char error[PPS_ERROR_TEXT])
{
    struct pps_quiet q;
    struct lists *none = NULL;
    enum pps_list_verdict verdict;
    if (atomic_load(&current))
        return true;
    pps_quiet_begin(&q);
    struct lists *l = build(config, error, &verdict);
    /* Two threads may get here at once; the first to publish wins, and neither waits. */
    if (l && !atomic_compare_exchange_strong(&current, &none, l))
        destroy(l);
    else if (l && lists_with_files(l))
        atomic_store(&watched, config);
    pps_quiet_end(&q);
    return atomic_load(&current);
}

/* True if some file is not as it was read and all such have settled. */
static bool look_at_all(struct lists *l, unsigned settle_ms)
{
    bool changed = false, young = false;
    for (int i = 0; i < LISTS; i++) {
        struct pps_list *list = &l->list[i];
        pps_list_look(list, settle_ms);
        changed |= list->changed;
        young |= list->young;
        if (list->moved)
            tried = PPS_LIST_GOOD;
    }
    return changed && !young;
}

/* "reloaded PPSHIM_TRUST prefixes=12", with the other lists whose files changed behind a comma. */
static void tell_reloaded(const struct lists *old, const struct lists *new, char *news)
{
    size_t n = (size_t)snprintf(news, PPS_ERROR_TEXT, "reloaded");
    const char *between = " ";
    for (int i = 0; i < LISTS; i++) {
        if (!old->list[i].changed)
            continue;
        n += (size_t)snprintf(news + n, PPS_ERROR_TEXT - n, "%s%s prefixes=%zu", between, new->list[i].setting,
                              pps_list_entries(&new->list[i]));
        between = ", ";
    }
}

static void tell_kept(const struct lists *l, char *news)
{
    const char *kept = lists_with_files(l) > 1 ? "; the old lists stay in force" : "; the old list stays in force";
    size_t room = PPS_ERROR_TEXT - 1 - strlen(kept), n = strlen(news);
    strcpy(news + (n < room ? n : room), kept);
}

/* Unless a reader might hold one. */
static void free_retired(void)
{
    if (pps_readers_inside(&readers))
        return;
    while (retired) {
        struct lists *l = retired;
        retired = l->next_retired;
        destroy(l);
    }
}

static void replace(struct lists *old, struct lists *new)
{
    atomic_store(&current, new);
    old->next_retired = retired;
    retired = old;
}

/* By the one thread that looks. True: there is news. */
static bool reload(struct lists *old, char *news, bool *failed)
{
    enum pps_list_verdict before = tried;
    if (before == PPS_LIST_WRONG)
        return false;
    struct lists *new = build(atomic_load(&watched), news, &tried);
    *failed = !new;
    if (new) {
        tell_reloaded(old, new, news);
        replace(old, new);
        return true;
    }
    tell_kept(old, news);
    return tried != before; /* of what cannot be read the operator hears once, and again if its content is wrong */
}

bool pps_trust_look(unsigned settle_ms, char news[PPS_ERROR_TEXT], bool *failed)
{
    struct pps_quiet q;
    bool told = false;
    pps_quiet_begin(&q);
    if (!atomic_exchange(&looking, true)) {
        struct lists *l = atomic_load(&current);
        if (look_at_all(l, settle_ms))
            told = reload(l, news, failed);
        free_retired();
        atomic_store(&looking, false);
    }
    pps_quiet_end(&q);
    return told;
}

/* True for one caller a second. */
static bool is_due(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    uint32_t now = (uint32_t)t.tv_sec * 1000 + (uint32_t)(t.tv_nsec / 1000000);
    uint32_t last = atomic_load_explicit(&last_look_ms, memory_order_relaxed);
    return now - last >= LOOK_EVERY_MS && atomic_compare_exchange_strong(&last_look_ms, &last, now);
}

bool pps_trust_refresh(char news[PPS_ERROR_TEXT], bool *failed)
{
    if (!atomic_load_explicit(&watched, memory_order_relaxed))
        return false;
    return is_due() && pps_trust_look(SETTLE_MS, news, failed);
}

/* --- readers --- */

static const struct lists *enter(void)
{
    pps_readers_enter(&readers, &reading);
    return atomic_load(&current);
}

static void leave(void)
{
    pps_readers_leave(&readers, &reading);
}

enum pps_trust pps_trust_of(const struct pps_addr *peer)
{
    const struct lists *l = enter();
    bool trusted = pps_cidr_has(&l->list[TRUST].set, peer);
    bool optional = !trusted && pps_cidr_has(&l->list[OPTIONAL].set, peer);
    leave();
    return trusted ? PPS_TRUSTED : optional ? PPS_OPTIONAL : PPS_UNTRUSTED;
}

enum pps_trust pps_trust_of_listener(const struct pps_unix_name *name)
{
    const struct lists *l = enter();
    bool trusted = pps_list_has_listener(&l->list[TRUST], name);
    bool optional = !trusted && pps_list_has_listener(&l->list[OPTIONAL], name);
    leave();
    return trusted ? PPS_TRUSTED : optional ? PPS_OPTIONAL : PPS_UNTRUSTED;
}

/* --- clients --- */

/* By its address, if the header tells one, or by a name: then *found. */
static bool has_client(const struct pps_list *l, const struct pps_header *h, const struct pps_facts *facts,
                       enum pps_fact_kind *found)
{
    if (h->has_client && pps_cidr_has(&l->set, &h->src)) {
        *found = PPS_FACT_COUNT;
        return true;
    }
    return pps_name_has(&l->names, facts, found);
}

/* Addresses say nothing of a client that is not told; a list of names alone does. */
static bool lets_in(const struct pps_list *allow, const struct pps_header *h, const struct pps_facts *facts)
{
    enum pps_fact_kind found;
    return !allow->text || (allow->set.count && !h->has_client) || has_client(allow, h, facts, &found);
}

bool pps_client_allowed(const struct pps_header *h, struct pps_name_text *name)
{
    const struct lists *l = enter();
    struct pps_facts facts = {0};
    enum pps_fact_kind kind = PPS_FACT_COUNT;
    bool by_name = l->list[ALLOW].names.count || l->list[DENY].names.count;
    if (by_name)
        pps_facts_read(h, &facts);
    bool denied = has_client(&l->list[DENY], h, &facts, &kind);
    bool allowed = !denied && lets_in(&l->list[ALLOW], h, &facts);
    leave();
    if (!allowed && !denied && !pps_name_first(&facts, &kind))
        kind = PPS_FACT_COUNT;
    if (!allowed && kind != PPS_FACT_COUNT)
        *name = pps_name_text(kind, &facts.of[kind]);
    return allowed;
}

bool pps_client_exempt(const struct pps_addr *client)
{
    const struct lists *l = enter();
    bool exempt = pps_cidr_has(&l->list[EXEMPT].set, client);
    leave();
    return exempt;
}

size_t pps_trust_prefixes(void)
{
    const struct lists *l = enter();
    size_t n = pps_list_entries(&l->list[TRUST]) + pps_list_entries(&l->list[OPTIONAL]);
    leave();
    return n;
}

/* --- listeners, before and after a load --- */

/* The server may have bound a relative path, or one over a symbolic link. */
static bool is_same_file(const struct pps_unix_name *a, const struct pps_unix_name *b)
{
    struct stat at_a, at_b;
    return a->text[0] != '@' && b->text[0] != '@' && stat(a->text, &at_a) == 0 && stat(b->text, &at_b) == 0 &&
           S_ISSOCK(at_a.st_mode) && at_a.st_dev == at_b.st_dev && at_a.st_ino == at_b.st_ino;
}

static bool find_listener(const struct pps_list *l, struct pps_unix_name *name)
{
    if (pps_list_has_listener(l, name))
        return true;
    for (unsigned i = 0; i < l->listener_count; i++) {
        if (!is_same_file(&l->listeners[i], name))
            continue;
        *name = l->listeners[i];
        return true;
    }
    return false;
}

static bool may_name_listeners(const char *text)
{
    return text && (strstr(text, "unix:") || strchr(text, '@'));
}

static bool names_in_texts(const struct pps_config *c, struct pps_unix_name *name)
{
    bool found = false;
    struct lists *l = may_name_listeners(c->trust) || may_name_listeners(c->header_optional) ? new_lists(c) : NULL;
    for (int i = TRUST; l && i <= OPTIONAL; i++) {
        if (l->list[i].text)
            pps_list_read_listeners(&l->list[i]);
        found = found || find_listener(&l->list[i], name);
    }
    if (l)
        destroy(l);
    return found;
}

bool pps_trust_names(const struct pps_config *config, struct pps_unix_name *name)
{
    if (!atomic_load(&current)) {
        struct pps_quiet q;
        pps_quiet_begin(&q);
        bool found = names_in_texts(config, name);
        pps_quiet_end(&q);
        return found;
    }
    const struct lists *l = enter();
    bool found = find_listener(&l->list[TRUST], name) || find_listener(&l->list[OPTIONAL], name);
    leave();
    return found;
}

/* Another thread's look is gone, at worst with a descriptor and a mapping that leak. */
void pps_trust_after_fork(void)
{
    pps_readers_after_fork(&readers, &reading);
    atomic_store(&looking, false);
    tried = PPS_LIST_GOOD;
}

/* --- for unit tests --- */

size_t pps_trust_retired(void)
{
    size_t n = 0;
    for (const struct lists *l = retired; l; l = l->next_retired)
        n++;
    return n;
}

void pps_trust_forget(void)
{
    struct lists *l = atomic_exchange(&current, NULL);
    atomic_store(&watched, NULL);
    atomic_store(&last_look_ms, 0);
    tried = PPS_LIST_GOOD;
    free_retired();
    if (l)
        destroy(l);
}
