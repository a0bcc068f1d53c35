/* SPDX-License-Identifier: MIT
 *
 * fuzz_tlv.c: any bytes where a header has its TLVs. What is read of them lies in them; and a name, written in a list
 * as the log has it, is found in what said it.
 */
#include "promise.h"
#include <ppshim/line.h>
#include <ppshim/name.h>
#include <stdio.h>

static bool lies_in(struct pps_view part, struct pps_view whole)
{
    return !part.at || (part.at >= whole.at && part.at + part.length <= whole.at + whole.length);
}

static void ssl_lies_in_its_value(struct pps_view value)
{
    struct pps_ssl ssl;
    if (!pps_ssl_decode(value, &ssl))
        return;
    const struct pps_view parts[] = {ssl.version, ssl.cn,    ssl.cipher,     ssl.sig_alg,
                                     ssl.key_alg, ssl.group, ssl.sig_scheme, ssl.client_cert};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        PROMISE(lies_in(parts[i], value));
    PROMISE(!pps_ssl_is_verified(&ssl) || ssl.verify == 0);
}

static void each_lies_in_the_whole(struct pps_view whole)
{
    struct pps_view rest = whole;
    struct pps_tlv tlv;
    enum pps_fact_kind kind;
    struct pps_fact fact;
    while (pps_tlv_next(&rest, &tlv)) {
        PROMISE(lies_in(tlv.value, whole) && lies_in(rest, whole));
        if (pps_tlv_fact(&tlv, &kind, &fact))
            PROMISE(kind < PPS_FACT_COUNT && fact.bytes.at && lies_in(fact.bytes, tlv.value));
        ssl_lies_in_its_value(tlv.value);
    }
    PROMISE(rest.length <= whole.length);
}

static void log_as(struct pps_line *l, enum pps_fact_kind kind, const struct pps_fact *fact)
{
    pps_line_begin(l, "accept");
    if (pps_fact_is_number(kind))
        pps_line_number(l, pps_fact_word(kind), fact->number);
    else
        pps_line_foreign(l, pps_fact_word(kind), fact->bytes.at, fact->bytes.length);
}

/* Of long ones the log has the beginning. */
static bool is_whole(const char *value, size_t length)
{
    return length < 3 || memcmp(value + length - 3, "...", 3) != 0;
}

static void is_found_by_what_the_log_has(const struct pps_facts *facts, enum pps_fact_kind kind)
{
    struct pps_line l;
    struct pps_name_set set = {0};
    char entry[PPS_LINE_SIZE], why[256];
    enum pps_fact_kind found;
    log_as(&l, kind, &facts->of[kind]);
    if (l.count != 1)
        return;
    const char *value = l.text + l.fields[0].value.at;
    size_t length = l.fields[0].value.length;
    int n = snprintf(entry, sizeof entry, "%s:%.*s", pps_fact_word(kind), (int)length, value);
    PROMISE(pps_name_is(entry, (size_t)n));
    if (is_whole(value, length) && pps_name_add(&set, entry, (size_t)n, why, sizeof why))
        PROMISE(set.count == 1 && pps_name_has(&set, facts, &found) && found == kind);
    pps_name_free(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exactly(data, size);
    struct pps_header h = {.version = 2, .has_client = true, .tlvs = {bytes, size}};
    struct pps_facts facts;
    each_lies_in_the_whole(h.tlvs);
    pps_facts_read(&h, &facts);
    for (enum pps_fact_kind kind = 0; kind < PPS_FACT_COUNT; kind++) {
        PROMISE(lies_in(facts.of[kind].bytes, h.tlvs));
        if (facts.of[kind].bytes.at)
            is_found_by_what_the_log_has(&facts, kind);
    }
    free(bytes);
    return 0;
}
