/* SPDX-License-Identifier: MIT
 *
 * name.c: names of clients: read, kept, looked up (name.h).
 *
 * Owns how a name is written, and the mappings of the sets it makes. Must never call malloc. No state of its own.
 */
#include "text.h"
#include <ppshim/cidr.h>
#include <ppshim/name.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define NAME_MAX_LENGTH 255

/* As a record has it, up to its length. */
struct name {
    uint8_t kind, length;
    uint8_t bytes[NAME_MAX_LENGTH];
};
#define HEAD offsetof(struct name, bytes)

static const enum pps_fact_kind kinds[] = {PPS_FACT_VPCE, PPS_FACT_AZURE_LINK, PPS_FACT_PSC, PPS_FACT_CN, PPS_FACT_SNI};
enum { KINDS = sizeof kinds / sizeof *kinds };

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static void put_number(struct name *n, uint64_t number)
{
    n->length = 8;
    for (int i = 0; i < 8; i++)
        n->bytes[i] = (uint8_t)(number >> (56 - 8 * i));
}

/* The one form of what a header says. false: too long for a name of any list. */
static bool name_of(enum pps_fact_kind kind, const struct pps_fact *fact, struct name *n)
{
    n->kind = (uint8_t)kind;
    if (pps_fact_is_number(kind)) {
        put_number(n, fact->number);
        return true;
    }
    if (fact->bytes.length > NAME_MAX_LENGTH)
        return false;
    n->length = (uint8_t)fact->bytes.length;
    for (size_t i = 0; i < fact->bytes.length; i++)
        n->bytes[i] = kind == PPS_FACT_SNI ? lower(fact->bytes.at[i]) : fact->bytes.at[i];
    return true;
}

/* --- how a name is written --- */

struct reading {
    struct pps_text whole, value; /* before and behind the colon */
    char *why;
    size_t size;
};

/* Always false. */
static bool refuse(const struct reading *r, const char *what)
{
    char shown[96];
    snprintf(r->why, r->size, "%s: %s", pps_cidr_quote(shown, sizeof shown, r->whole.at, r->whole.length), what);
    return false;
}

/* The word before the colon; PPS_FACT_COUNT: none. */
static enum pps_fact_kind word_of(struct pps_text entry, struct pps_text *value)
{
    const char *colon = memchr(entry.at, ':', entry.length);
    struct pps_text word = {entry.at, colon ? (size_t)(colon - entry.at) : 0};
    enum pps_fact_kind kind = 0;
    while (kind < PPS_FACT_COUNT && !pps_text_is(word, pps_fact_word(kind)))
        kind++;
    if (kind < PPS_FACT_COUNT)
        *value = (struct pps_text){colon + 1, entry.length - word.length - 1};
    return kind;
}

static bool is_taken(enum pps_fact_kind kind)
{
    for (int i = 0; i < KINDS; i++)
        if (kinds[i] == kind)
            return true;
    return false;
}

static int digit(char c)
{
    char l = (char)(c | 0x20);
    return pps_text_is_digit(c) ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

/* One byte off *rest, written as it is or as \xNN; -1: a backslash that begins no such. */
static int take_byte(struct pps_text *rest)
{
    int high, low, byte = (uint8_t)*rest->at;
    size_t length = 1;
    if (byte == '\\') {
        bool hex = rest->length >= 4 && rest->at[1] == 'x' && (high = digit(rest->at[2])) >= 0 &&
                   (low = digit(rest->at[3])) >= 0;
        if (!hex)
            return -1;
        byte = high << 4 | low;
        length = 4;
    }
    *rest = (struct pps_text){rest->at + length, rest->length - length};
    return byte;
}

static bool read_bytes(const struct reading *r, struct name *n)
{
    struct pps_text rest = r->value;
    for (n->length = 0; rest.length; n->length++) {
        if (*rest.at == '"' || *rest.at == '\'')
            return refuse(r, "no quotes: write the name as the log does, a space as \\x20, a quote as \\x22");
        int byte = take_byte(&rest);
        if (byte < 0)
            return refuse(r, "a backslash begins \\xNN, as in the log: write itself as \\x5c");
        if (n->length == NAME_MAX_LENGTH)
            return refuse(r, "too long: a name has 255 bytes at most");
        n->bytes[n->length] = (uint8_t)byte;
    }
    return true;
}

static bool read_number(const struct reading *r, uint64_t most, struct name *n)
{
    uint64_t number = 0;
    for (size_t i = 0; i < r->value.length; i++) {
        char c = r->value.at[i];
        if (!pps_text_is_digit(c) || (i == 1 && *r->value.at == '0'))
            return refuse(r, "not a number: write it in decimal, as the cloud shows it");
        if (number > (most - (uint64_t)(c - '0')) / 10)
            return refuse(r, "too large a number");
        number = number * 10 + (uint64_t)(c - '0');
    }
    put_number(n, number);
    return true;
}

static bool read_vpce(const struct reading *r, struct name *n)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    bool good = pps_text_begins(r->value, "vpce-") && r->value.length > strlen("vpce-");
    for (size_t i = 0; good && i < r->value.length; i++)
        good = r->value.at[i] && strchr(plain, r->value.at[i]);
    return good ? read_bytes(r, n) : refuse(r, "not an endpoint's id: write one like vpce:vpce-08d2bf15fac5001c9");
}

static bool read_sni(const struct reading *r, struct name *n)
{
    if (memchr(r->value.at, '*', r->value.length))
        return refuse(r, "no wildcards: write each host");
    if (r->value.at[r->value.length - 1] == '.')
        return refuse(r, "clients send it without the dot at the end: write it so");
    bool good = read_bytes(r, n);
    for (size_t i = 0; good && i < n->length; i++)
        n->bytes[i] = lower(n->bytes[i]);
    return good;
}

static bool read_name(const struct reading *r, enum pps_fact_kind kind, struct name *n)
{
    n->kind = (uint8_t)kind;
    if (kind == PPS_FACT_CN_UNVERIFIED)
        return refuse(r, "anybody can claim that name: cn: is the one of a certificate that the balancer verified");
    if (!is_taken(kind))
        return refuse(r, "lists know clients by vpce:, azure-link:, psc:, cn: and sni: alone");
    if (!r->value.length)
        return refuse(r, "a name is missing behind the colon");
    switch (kind) {
    case PPS_FACT_VPCE:
        return read_vpce(r, n);
    case PPS_FACT_AZURE_LINK:
        return read_number(r, UINT32_MAX, n);
    case PPS_FACT_PSC:
        return read_number(r, UINT64_MAX, n);
    case PPS_FACT_SNI:
        return read_sni(r, n);
    default:
        return read_bytes(r, n);
    }
}

/* --- the set --- */

static uint32_t *place_of(const struct pps_name_set *set, const void *record)
{
    size_t length = HEAD + ((const uint8_t *)record)[offsetof(struct name, length)];
    size_t at = pps_crc32c(0, record, length) & (set->size - 1);
    while (set->table[at] && memcmp(set->records + set->table[at] - 1, record, length) != 0)
        at = (at + 1) & (set->size - 1);
    return &set->table[at];
}

static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Half of it stays empty, so that every look ends soon. */
static bool grow_table(struct pps_name_set *set)
{
    struct pps_name_set larger = *set;
    larger.size = set->size ? set->size * 2 : 1024;
    larger.table = map(larger.size * sizeof *larger.table);
    if (!larger.table)
        return false;
    for (size_t at = 0; at < set->used; at += HEAD + set->records[at + offsetof(struct name, length)])
        *place_of(&larger, set->records + at) = (uint32_t)at + 1;
    if (set->table)
        munmap(set->table, set->size * sizeof *set->table);
    *set = larger;
    return true;
}

/* A whole record lies behind every one: a look may compare one of any length with what is there. */
static bool grow_records(struct pps_name_set *set)
{
    size_t bytes = set->mapped ? set->mapped * 2 : 4096;
    void *at = set->records ? mremap(set->records, set->mapped, bytes, MREMAP_MAYMOVE) : map(bytes);
    if (!at || at == MAP_FAILED)
        return false;
    set->records = at;
    set->mapped = bytes;
    return true;
}

static bool has_room(struct pps_name_set *set)
{
    return (2 * (set->count + 1) <= set->size || grow_table(set)) &&
           (set->used + 2 * sizeof(struct name) <= set->mapped || grow_records(set));
}

static void keep(struct pps_name_set *set, const struct name *n)
{
    uint32_t *place = place_of(set, n);
    if (*place)
        return;
    *place = (uint32_t)set->used + 1;
    memcpy(set->records + set->used, n, HEAD + n->length);
    set->used += HEAD + n->length;
    set->count++;
}

/* --- what others call --- */

bool pps_name_is(const char *entry, size_t length)
{
    struct pps_text value;
    return word_of((struct pps_text){entry, length}, &value) != PPS_FACT_COUNT;
}

bool pps_name_add(struct pps_name_set *set, const char *entry, size_t length, char *why, size_t size)
{
    struct reading r = {.whole = {entry, length}, .why = why, .size = size};
    enum pps_fact_kind kind = word_of(r.whole, &r.value);
    struct name n;
    if (!read_name(&r, kind, &n))
        return false;
    if (!has_room(set))
        return refuse(&r, "no memory left for the list: write it shorter");
    keep(set, &n);
    return true;
}

bool pps_name_has(const struct pps_name_set *set, const struct pps_facts *facts, enum pps_fact_kind *found)
{
    struct name n;
    for (int i = 0; set->count && i < KINDS; i++) {
        const struct pps_fact *fact = &facts->of[kinds[i]];
        *found = kinds[i];
        if (fact->bytes.at && name_of(kinds[i], fact, &n) && *place_of(set, &n))
            return true;
    }
    return false;
}

bool pps_name_first(const struct pps_facts *facts, enum pps_fact_kind *found)
{
    int i = 0;
    while (i < KINDS && !facts->of[kinds[i]].bytes.at)
        i++;
    if (i < KINDS)
        *found = kinds[i];
    return i < KINDS;
}

void pps_name_free(struct pps_name_set *set)
{
    if (set->records)
        munmap(set->records, set->mapped);
    if (set->table)
        munmap(set->table, set->size * sizeof *set->table);
    *set = (struct pps_name_set){0};
}

struct pps_name_text pps_name_text(enum pps_fact_kind kind, const struct pps_fact *fact)
{
    static const char dots[] = "...";
    struct pps_name_text out;
    char number[24];
    int n = snprintf(number, sizeof number, "%llu", (unsigned long long)fact->number);
    struct pps_view value = fact->bytes;
    if (pps_fact_is_number(kind))
        value = (struct pps_view){(const uint8_t *)number, (size_t)n};
    size_t head = (size_t)snprintf(out.text, sizeof out.text, "%s:", pps_fact_word(kind));
    size_t room = sizeof out.text - head, shown = value.length <= room ? value.length : room - strlen(dots);
    memcpy(out.text + head, value.at, shown);
    if (shown < value.length)
        memcpy(out.text + head + shown, dots, strlen(dots));
    out.length = (uint8_t)(head + shown + (shown < value.length ? strlen(dots) : 0));
    return out;
}
