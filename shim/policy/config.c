/* SPDX-License-Identifier: MIT
 *
 * config.c: the environment to a struct that never changes (config.h).
 *
 * Owns the one mapping with the copies of texts. Must never open a file, write, or call malloc or getenv: it runs in
 * the constructor of every image the preload reaches, most of which will never listen. Called once, before other
 * threads; fork copies what it made.
 */
#include "near.h"
#include "text.h"
#include <ppshim/cidr.h>
#include <ppshim/config.h>
#include <ppshim/header.h>
#include <ppshim/trust.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>

#define PREFIX "PPSHIM_"
#define SHOWN 96 /* a name or a value in an error */
#define PENDING_MAX 1000000
#define STATS_MAX 255

const struct pps_setting_row pps_settings[PPS_SET_COUNT] = {
#define X(constant, name, values, dflt, meaning) {name, values, dflt, meaning},
    PPS_SETTINGS(X)
#undef X
};

/* "NAME=value: " and the message; always false. */
__attribute__((format(printf, 4, 5))) static bool refuse(char *error, const char *name, const char *value,
                                                         const char *format, ...)
{
    char shown[SHOWN];
    va_list args;
    int n = snprintf(error, PPS_ERROR_TEXT, "%s=%s: ", name, pps_cidr_quote(shown, sizeof shown, value, strlen(value)));
    va_start(args, format);
    vsnprintf(error + n, PPS_ERROR_TEXT - (size_t)n, format, args);
    va_end(args);
    return false;
}

/* --- words --- */

static bool is_only_word(const char *value, const char *text)
{
    struct pps_text rest = pps_text_of(value), w, more;
    return pps_text_next(&rest, &w) && pps_text_is(w, text) && !pps_text_next(&rest, &more);
}

static int find_word(struct pps_text w, const char *const words[], int count)
{
    for (int i = 0; i < count; i++)
        if (pps_text_is(w, words[i]))
            return i;
    return -1;
}

static bool read_choice(const char *value, const char *no, const char *yes, bool *out)
{
    *out = strcmp(value, yes) == 0;
    return *out || strcmp(value, no) == 0;
}

/* --- one function a setting: fills in its part of *out, or writes the error --- */

struct setting {
    const char *name, *value;
    struct pps_config *out;
    char *error;
};

#define REFUSE(s, ...) refuse((s)->error, (s)->name, (s)->value, __VA_ARGS__)

static bool read_port(const struct setting *s, struct pps_text w)
{
    unsigned long first, last;
    const char *end = w.at + w.length, *at = pps_text_number(w.at, 65535, &first);
    last = first;
    if (at && at < end && *at == '-')
        at = pps_text_number(at + 1, 65535, &last);
    char shown[SHOWN];
    pps_cidr_quote(shown, sizeof shown, w.at, w.length);
    if (pps_text_is(w, "all"))
        return REFUSE(s, "all stands alone: write all, or the ports");
    if (at != end)
        return REFUSE(s, "%s is not a port: write numbers from 1 to 65535, ranges like 8000-8010, or all", shown);
    if (!first)
        return REFUSE(s, "nothing listens on port 0: write numbers from 1 to 65535, ranges like 8000-8010, or all");
    if (first > last)
        return REFUSE(s, "the range %s is upside down: write %lu-%lu", shown, last, first);
    for (unsigned long port = first; port <= last; port++)
        s->out->ports[port / 8] |= (uint8_t)(1u << (port % 8));
    return true;
}

static bool read_ports(const struct setting *s)
{
    struct pps_text rest = pps_text_of(s->value), w;
    bool all = is_only_word(s->value, "all"), any = false;
    memset(s->out->ports, all ? 0xff : 0, sizeof s->out->ports);
    s->out->every_port = all;
    if (all)
        return true;
    for (; pps_text_next(&rest, &w); any = true)
        if (!read_port(s, w))
            return false;
    return any || REFUSE(s, "no port in it: write all, or ports like 3306,8000-8010");
}

static bool read_timeout(const struct setting *s)
{
    unsigned long n;
    const char *unit = pps_text_number(s->value, 100000000, &n);
    bool seconds = unit && strcmp(unit, "s") == 0;
    if (unit && !*unit) {
        bool meant_ms = n >= 100 && n <= 60000, meant_s = n && n <= 60;
        return REFUSE(s, "a bare number has no unit: write %lu%s", meant_ms || meant_s ? n : 3, meant_ms ? "ms" : "s");
    }
    if (!unit || (!seconds && strcmp(unit, "ms") != 0))
        return REFUSE(s, "not a time: write a whole number and its unit, like 3s or 500ms");
    n *= seconds ? 1000 : 1;
    if (n < 100)
        return REFUSE(s, "too short: 100ms is the least");
    if (n > 60000)
        return REFUSE(s, "too long: 60s is the most");
    s->out->timeout_ms = (unsigned)n;
    return true;
}

static bool read_versions(const struct setting *s)
{
    struct pps_text rest = pps_text_of(s->value), w;
    bool *accepted = s->out->version_accepted;
    accepted[1] = accepted[2] = false;
    while (pps_text_next(&rest, &w)) {
        if (!pps_text_is(w, "1") && !pps_text_is(w, "2"))
            return REFUSE(s, "versions are 1 and 2: write 1, 2 or 1,2");
        accepted[*w.at - '0'] = true;
    }
    return accepted[1] || accepted[2] || REFUSE(s, "no version in it: write 1, 2 or 1,2");
}

static bool read_defer_accept(const struct setting *s)
{
    return read_choice(s->value, "off", "on", &s->out->defer_accept) || REFUSE(s, "neither: write on or off");
}

static bool read_untrusted(const struct setting *s)
{
    return read_choice(s->value, "pass", "reject", &s->out->reject_untrusted) ||
           REFUSE(s, "neither: write pass or reject");
}

static bool read_inherited(const struct setting *s)
{
    return read_choice(s->value, "off", "on", &s->out->inherited) || REFUSE(s, "neither: write on or off");
}

static bool read_local_addr(const struct setting *s)
{
    return read_choice(s->value, "socket", "header", &s->out->local_from_header) ||
           REFUSE(s, "neither: write socket or header");
}

static bool read_max_pending(const struct setting *s)
{
    unsigned long n = 0;
    s->out->max_pending = 0;
    if (!*s->value)
        return true;
    const char *end = pps_text_number(s->value, PENDING_MAX, &n);
    if (!end || *end || !n)
        return REFUSE(s, "not a number of connections: write one from 1 to %d, like 1024", PENDING_MAX);
    s->out->max_pending = (unsigned)n;
    return true;
}

static bool read_client_rate(const struct setting *s)
{
    char why[PPS_ERROR_TEXT / 2];
    return !*s->value || pps_limit_read_rate(s->value, &s->out->client_rate, why, sizeof why) || REFUSE(s, "%s", why);
}

static bool read_client_max(const struct setting *s)
{
    char why[PPS_ERROR_TEXT / 2];
    return !*s->value || pps_limit_read_max(s->value, &s->out->client_max, why, sizeof why) || REFUSE(s, "%s", why);
}

static bool read_stats(const struct setting *s)
{
    s->out->stats = *s->value ? s->value : NULL;
    if (*s->value && *s->value != '/')
        return REFUSE(s, "not an absolute path: write a directory, like /run/ppshim");
    return strlen(s->value) <= STATS_MAX || REFUSE(s, "longer than %d bytes: write a shorter path", STATS_MAX);
}

static const char *const levels[] = {"error", "notice", "info", "debug"};     /* enum pps_log_level */
static const char *const targets[] = {"auto", "stderr", "syslog", "journal"}; /* enum pps_log_target */
enum { LEVELS = sizeof levels / sizeof *levels, TARGETS = sizeof targets / sizeof *targets };

/* The part before the last ':' and the word behind it; a ':' that no level follows belongs to a path. */
static struct pps_text log_target(const char *value, int *level)
{
    const char *colon = strrchr(value, ':');
    *level = colon ? find_word(pps_text_of(colon + 1), levels, LEVELS) : -1;
    return (struct pps_text){value, *level < 0 ? strlen(value) : (size_t)(colon - value)};
}

static bool read_log(const struct setting *s)
{
    int level;
    struct pps_text target = log_target(s->value, &level), first = {s->value, strcspn(s->value, ":")};
    int known = find_word(target, targets, TARGETS);
    s->out->log_level = level < 0 ? PPS_LOG_NOTICE : (enum pps_log_level)level;
    s->out->log_target = known < 0 ? PPS_LOG_FILE : (enum pps_log_target)known;
    s->out->log_path = known < 0 ? s->value : NULL; /* with its level, until keep_texts */
    if (*s->value == '/' && target.at[target.length - 1] == '/')
        return REFUSE(s, "a directory: write the path of a file");
    if (known >= 0 || *s->value == '/')
        return true;
    if (find_word(first, targets, TARGETS) >= 0)
        return REFUSE(s, "no such level: write %.*s:error, :notice, :info or :debug", (int)first.length, first.at);
    if (find_word(first, levels, LEVELS) >= 0)
        return REFUSE(s, "a level needs a target: write auto:%.*s", (int)first.length, first.at);
    return REFUSE(s, "no such target: write auto, stderr, syslog, journal or /absolute/path, and :LEVEL if you like");
}

/* 0x and one or two digits; -1: it is not written so. */
static int read_type(struct pps_text w)
{
    int type = 0;
    if (!pps_text_begins(w, "0x") || w.length < 3 || w.length > 4)
        return -1;
    for (size_t i = 2; i < w.length; i++) {
        char c = (char)(w.at[i] | 0x20);
        if (!pps_text_is_digit(c) && (c < 'a' || c > 'f'))
            return -1;
        type = type * 16 + (pps_text_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    return type;
}

static bool read_log_tlvs(const struct setting *s)
{
    struct pps_text rest = pps_text_of(s->value), w;
    char shown[SHOWN];
    bool any = !*s->value;
    for (; pps_text_next(&rest, &w); any = true) {
        int type = read_type(w);
        if (type < 0)
            return REFUSE(s, "%s is not a type: write two hexadecimal digits behind 0x, like 0xEA,0xE0",
                          pps_cidr_quote(shown, sizeof shown, w.at, w.length));
        s->out->log_tlvs[type / 8] |= (uint8_t)(1u << (type % 8));
    }
    return any || REFUSE(s, "no type in it: write them like 0xEA,0xE0");
}

static bool read_journal(const struct setting *s)
{
    if (*s->value && *s->value != '/')
        return REFUSE(s, "not an absolute path: write one like /run/ppshim/journal.sock");
    if (strlen(s->value) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return REFUSE(s, "longer than the %zu bytes that a socket's path can have",
                      sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
    return true;
}

static bool read_list(const struct setting *s)
{
    return !*s->value || pps_trust_check(s->name, s->value, s->error);
}

static bool read_trust(const struct setting *s)
{
    return is_only_word(s->value, "none") || read_list(s);
}

/* clang-format off */
static bool (*const read_setting[PPS_SET_COUNT])(const struct setting *s) = {
    [PPS_SET_TRUST] = read_trust,
    [PPS_SET_HEADER_OPTIONAL] = read_list,
    [PPS_SET_PORTS] = read_ports,
    [PPS_SET_TIMEOUT] = read_timeout,
    [PPS_SET_VERSIONS] = read_versions,
    [PPS_SET_DEFER_ACCEPT] = read_defer_accept,
    [PPS_SET_UNTRUSTED] = read_untrusted,
    [PPS_SET_CLIENT_ALLOW] = read_list,
    [PPS_SET_CLIENT_DENY] = read_list,
    [PPS_SET_INHERITED] = read_inherited,
    [PPS_SET_LOCAL_ADDR] = read_local_addr,
    [PPS_SET_MAX_PENDING] = read_max_pending,
    [PPS_SET_CLIENT_RATE] = read_client_rate,
    [PPS_SET_CLIENT_MAX] = read_client_max,
    [PPS_SET_LIMIT_EXEMPT] = read_list,
    [PPS_SET_STATS] = read_stats,
    [PPS_SET_LOG] = read_log,
    [PPS_SET_LOG_TLVS] = read_log_tlvs,
    [PPS_SET_JOURNAL] = read_journal,
};
/* clang-format on */

/* --- names --- */

static int find_setting(struct pps_text name)
{
    for (int i = 0; i < PPS_SET_COUNT; i++)
        if (pps_text_is(name, pps_settings[i].name))
            return i;
    return -1;
}

/* A name that leaves a word out (PPSHIM_OPTIONAL) is nearest to the one it is part of, whatever the distance says. */
static const char *nearest_setting(struct pps_text name)
{
    int best = 0;
    struct pps_text tail = {name.at + strlen(PREFIX) - 1, name.length - strlen(PREFIX) + 1}; /* from its '_' on */
    for (int i = 0; tail.length > 3 && i < PPS_SET_COUNT; i++)
        if (memmem(pps_settings[i].name, strlen(pps_settings[i].name), tail.at, tail.length))
            return pps_settings[i].name;
    for (int i = 1; i < PPS_SET_COUNT; i++)
        if (pps_near_distance(name, pps_settings[i].name) < pps_near_distance(name, pps_settings[best].name))
            best = i;
    return pps_settings[best].name;
}

/* What Kubernetes gives every container for services called ppshim or ppshim-anything (and Docker for links):
   PPSHIM_PORT=tcp://10.0.0.11:6379, PPSHIM_PORT_6379_TCP, PPSHIM_SERVICE_HOST, PPSHIM_DEMO_SERVICE_PORT. */
static bool is_kubernetes(struct pps_text name, const char *value)
{
    const char *rest = name.at + strlen(PREFIX) - 1, *end = name.at + name.length;
    const char *port = memmem(rest, (size_t)(end - rest), "_PORT_", 6);
    const char *service = memmem(rest, (size_t)(end - rest), "_SERVICE_", 9);
    struct pps_text url = pps_text_of(value);
    bool is_url = pps_text_begins(url, "tcp://") || pps_text_begins(url, "udp://") || pps_text_begins(url, "sctp://");
    return port || service || (is_url && name.length >= strlen("PPSHIM_PORT") && memcmp(end - 5, "_PORT", 5) == 0);
}

static bool refuse_name(struct pps_text name, const char *value, char *error)
{
    char shown[SHOWN];
    pps_cidr_quote(shown, sizeof shown, name.at, name.length);
    return refuse(error, shown, value, "no such setting: the nearest is %s", nearest_setting(name));
}

static bool refuse_empty(int i, char *error)
{
    bool is_list = read_setting[i] == read_list || read_setting[i] == read_trust;
    if (is_list)
        return pps_trust_check(pps_settings[i].name, "", error);
    return refuse(error, pps_settings[i].name, "", "set but empty: write a value%s%s, or leave it unset",
                  *pps_settings[i].dflt ? " like " : "", pps_settings[i].dflt);
}

/* The first of each name, as getenv has it. A name without '=' counts as empty. */
static bool collect(char *const *env, const char *values[PPS_SET_COUNT], char *error)
{
    for (; *env; env++) {
        if (strncmp(*env, PREFIX, strlen(PREFIX)) != 0)
            continue;
        struct pps_text name = {*env, strcspn(*env, "=")};
        const char *value = name.at[name.length] ? name.at + name.length + 1 : "";
        int i = find_setting(name);
        if (i < 0 && !is_kubernetes(name, value))
            return refuse_name(name, value, error);
        if (i >= 0 && !values[i])
            values[i] = value;
    }
    return true;
}

/* --- the whole --- */

static size_t length_of(const char *text)
{
    return text ? strlen(text) : 0;
}

/* Moves what still lies in the environment into a mapping: servers overwrite theirs. */
static bool keep_texts(struct pps_config *out)
{
    int level;
    const struct {
        const char **at;
        size_t length;
    } texts[] = {
        {&out->trust, length_of(out->trust)},
        {&out->header_optional, length_of(out->header_optional)},
        {&out->client_allow, length_of(out->client_allow)},
        {&out->client_deny, length_of(out->client_deny)},
        {&out->limit_exempt, length_of(out->limit_exempt)},
        {&out->stats, length_of(out->stats)},
        {&out->journal, length_of(out->journal)},
        {&out->log_path, out->log_path ? log_target(out->log_path, &level).length : 0},
    };
    enum { TEXTS = sizeof texts / sizeof *texts };
    size_t bytes = 0;
    for (int i = 0; i < TEXTS; i++)
        bytes += texts[i].length + 1;
    if (bytes == TEXTS)
        return true;
    char *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return false;
    for (int i = 0; i < TEXTS; i++) {
        if (*texts[i].at)
            *texts[i].at = memcpy(room, *texts[i].at, texts[i].length); /* the NUL is there already */
        room += texts[i].length + 1;
    }
    return true;
}

static bool read_all(const char *const values[PPS_SET_COUNT], struct pps_config *out, char *error)
{
    for (int i = 0; i < PPS_SET_COUNT; i++) {
        if (values[i] && !*values[i])
            return refuse_empty(i, error);
        struct setting s = {pps_settings[i].name, values[i] ? values[i] : pps_settings[i].dflt, out, error};
        if (!read_setting[i](&s))
            return false;
    }
    return true;
}

/* Of what was set, as it was written. */
static uint32_t sum_of(const char *const values[PPS_SET_COUNT])
{
    uint32_t sum = 0;
    for (int i = 0; i < PPS_SET_COUNT; i++)
        if (values[i]) {
            sum = pps_crc32c(sum, pps_settings[i].name, strlen(pps_settings[i].name) + 1);
            sum = pps_crc32c(sum, values[i], strlen(values[i]) + 1);
        }
    return sum;
}

/* Whoever sets anything wants the shim, and without a list it would silently do nothing. */
static bool has_list_or_nothing(const char *const values[PPS_SET_COUNT], char *error)
{
    if (values[PPS_SET_TRUST] || values[PPS_SET_HEADER_OPTIONAL])
        return true;
    for (int i = 0; i < PPS_SET_COUNT; i++)
        if (values[i])
            return refuse(error, pps_settings[i].name, values[i],
                          "without %s or %s the shim is off: set one of them (%s=none if off is meant)",
                          pps_settings[PPS_SET_TRUST].name, pps_settings[PPS_SET_HEADER_OPTIONAL].name,
                          pps_settings[PPS_SET_TRUST].name);
    return true;
}

bool pps_config_read(char *const *env, struct pps_config *out, char error[PPS_ERROR_TEXT])
{
    const char *values[PPS_SET_COUNT] = {NULL};
    memset(out, 0, sizeof *out);
    if (!collect(env, values, error) || !read_all(values, out, error) || !has_list_or_nothing(values, error))
        return false;
    const char *trust = values[PPS_SET_TRUST], *optional = values[PPS_SET_HEADER_OPTIONAL];
    out->on = trust ? !is_only_word(trust, "none") : optional != NULL;
    out->local_from_header &= out->on;
    out->checksum = sum_of(values);
    if (out->on) {
        out->trust = trust;
        out->header_optional = optional;
        out->client_allow = values[PPS_SET_CLIENT_ALLOW];
        out->client_deny = values[PPS_SET_CLIENT_DENY];
        out->limit_exempt = values[PPS_SET_LIMIT_EXEMPT];
        out->journal = values[PPS_SET_JOURNAL];
    }
    if (out->trust && out->header_optional && !pps_trust_check_apart(out->trust, out->header_optional, error))
        return false;
    return keep_texts(out) || refuse(error, pps_settings[PPS_SET_TRUST].name, "...", "no memory left for a copy");
}
