/* SPDX-License-Identifier: MIT
 *
 * test_facts.c: what TLVs say (header_tlv.h). Whole headers, as vendors write them, are rows of vectors.c.
 */
#include "guard_page.h"
#include "judge.h"
#include "suites.h"
#include "vectors.h"
#include <inttypes.h>
#include <ppshim/header_tlv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pps_facts facts;

static void read_header(const void *bytes, size_t length)
{
    struct answer a = judge(bytes, length);
    ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
    pps_facts_read(&a.header, &facts);
}

/* A TCP4 header with these TLVs, at a guard page. */
static void read_tlvs(const char *tlvs, size_t length)
{
    struct pps_header h = {.version = 2, .has_client = true, .tlvs = {guard_copy(tlvs, length), length}};
    pps_facts_read(&h, &facts);
}

#define READ_TLVS(literal) read_tlvs(literal, sizeof(literal) - 1)

static void says(enum pps_fact_kind kind, const char *text)
{
    ck_assert_ptr_nonnull(facts.of[kind].bytes.at);
    ck_assert(!pps_fact_is_number(kind));
    ck_assert_uint_eq(facts.of[kind].bytes.length, strlen(text));
    ck_assert_mem_eq(facts.of[kind].bytes.at, text, strlen(text));
}

static void says_number(enum pps_fact_kind kind, uint64_t number)
{
    ck_assert_ptr_nonnull(facts.of[kind].bytes.at);
    ck_assert(pps_fact_is_number(kind));
    ck_assert_uint_eq(facts.of[kind].number, number);
}

static unsigned count(void)
{
    unsigned n = 0;
    for (enum pps_fact_kind kind = 0; kind < PPS_FACT_COUNT; kind++)
        n += facts.of[kind].bytes.at != NULL;
    return n;
}

START_TEST(googles_number_may_be_large)
{
    READ_TLVS("\xe0\x00\x08\xff\xff\xff\xff\xc0\xa8\x64\x02");
    says_number(PPS_FACT_PSC, UINT64_C(18446744072646845442));
    ck_assert_uint_eq(count(), 1);
}
END_TEST

/* --- of every vector --- */

static void write_tlv(FILE *to, const struct pps_tlv *tlv)
{
    fprintf(to, "%02x:%zu", tlv->type, tlv->value.length);
}

/* "(TYPE:LENGTH ...)" of those in the SSL TLV; nothing, if there are none. */
static void write_ssl(FILE *to, const struct pps_tlv *tlv)
{
    enum { FIXED = 5 };
    struct pps_view rest = tlv->value;
    struct pps_tlv sub;
    char before = '(';

    if (tlv->type != PPS_TLV_SSL || rest.length < FIXED)
        return;
    rest = (struct pps_view){rest.at + FIXED, rest.length - FIXED};
    for (; pps_tlv_next(&rest, &sub); before = ' ') {
        fputc(before, to);
        write_tlv(to, &sub);
    }
    if (before == ' ')
        fputc(')', to);
}

static void write_fact(FILE *to, enum pps_fact_kind kind)
{
    const struct pps_fact *f = &facts.of[kind];

    if (!f->bytes.at)
        return;
    fprintf(to, " %s=", pps_fact_word(kind));
    if (pps_fact_is_number(kind))
        fprintf(to, "%" PRIu64, f->number);
    else
        fwrite(f->bytes.at, 1, f->bytes.length, to);
}

/* As vector.says has it. */
static void write_all(FILE *to, const struct pps_header *h)
{
    struct pps_view rest = h->tlvs;
    struct pps_tlv tlv;

    while (pps_tlv_next(&rest, &tlv)) {
        fputc(' ', to);
        write_tlv(to, &tlv);
        write_ssl(to, &tlv);
    }
    pps_facts_read(h, &facts);
    for (enum pps_fact_kind kind = 0; kind < PPS_FACT_COUNT; kind++)
        write_fact(to, kind);
}

START_TEST(vector_says_what_its_row_has)
{
    const struct vector *v = &vectors[_i];
    struct answer a = judge(v->bytes, v->size);
    char *text;
    size_t length;
    FILE *to = open_memstream(&text, &length);

    if (a.verdict == PPS_HEADER_COMPLETE)
        write_all(to, &a.header);
    fclose(to);
    ck_assert_msg(strcmp(length ? text + 1 : text, v->says ? v->says : "") == 0, "%s says%s", v->name, text);
    free(text);
}
END_TEST

/* --- of TLVs alone --- */

START_TEST(vendors_values_of_another_shape_say_nothing)
{
    READ_TLVS("\xea\x00\x05\x02vpce"
              "\xea\x00\x01\x01"
              "\xea\x00\x00"
              "\xee\x00\x05\x02\x01\x01\x01\x01"
              "\xee\x00\x04\x01\x01\x01\x01"
              "\xee\x00\x00"
              "\xe0\x00\x00"
              "\xe0\x00\x03\xff\xff\xff"
              "\xe0\x00\x07"
              "a name\n"
              "\xe7\x00\x01x");
    ck_assert_uint_eq(count(), 0);
}
END_TEST

START_TEST(of_what_is_said_twice_the_first_well_formed_one_counts)
{
    READ_TLVS("\xee\x00\x03\x01\x01\x01"
              "\xee\x00\x05\x01\xc1\x45\x00\x21"
              "\xee\x00\x05\x01\xc1\x45\x00\x22"
              "\x02\x00\x01s\x02\x00\x01t");
    says_number(PPS_FACT_AZURE_LINK, 0x210045c1);
    says(PPS_FACT_SNI, "s");
}
END_TEST

START_TEST(types_of_the_specification)
{
    READ_TLVS("\x01\x00\x02h2\x02\x00\x02"
              "db\x05\x00\x02id\x30\x00\x04"
              "blue\x04\x00\x01x");
    says(PPS_FACT_ALPN, "h2");
    says(PPS_FACT_SNI, "db");
    says(PPS_FACT_UNIQUE_ID, "id");
    says(PPS_FACT_NETNS, "blue");
    ck_assert_uint_eq(count(), 4);
}
END_TEST

static const struct {
    const char *fixed; /* client, verify */
    bool verified;
} certificates[] = {
    {"\x03\0\0\0\0", true},  {"\x05\0\0\0\0", true},  {"\x07\0\0\0\0", true},    {"\x01\0\0\0\0", false},
    {"\x00\0\0\0\0", false}, {"\x02\0\0\0\0", false}, {"\x07\0\0\0\x01", false}, {"\x07\x80\0\0\0", false},
};

START_TEST(cn_is_one_only_if_a_certificate_was_there_and_verified)
{
    char tlvs[] = "\x20\x00\x1f.....\x21\x00\x07TLSv1.3\x22\x00\x03"
                  "app\x23\x00\x04"
                  "AES!";
    bool verified = certificates[_i].verified;
    ck_assert_uint_eq(sizeof tlvs - 1, 3 + 5 + 10 + 6 + 7);
    tlvs[2] = 5 + 10 + 6 + 7;
    memcpy(tlvs + 3, certificates[_i].fixed, 5);
    read_tlvs(tlvs, sizeof tlvs - 1);
    says(PPS_FACT_SSL, "TLSv1.3");
    says(PPS_FACT_CIPHER, "AES!");
    says(verified ? PPS_FACT_CN : PPS_FACT_CN_UNVERIFIED, "app");
    ck_assert_uint_eq(count(), 3);
}
END_TEST

START_TEST(second_ssl_tlv_vouches_for_nobody)
{
    READ_TLVS("\x20\x00\x09\x01\0\0\0\x01\x22\x00\x01u"
              "\x20\x00\x09\x07\0\0\0\0\x22\x00\x01v");
    says(PPS_FACT_CN_UNVERIFIED, "u");
    ck_assert_uint_eq(count(), 1);
    READ_TLVS("\x20\x00\x02\x01\0"
              "\x20\x00\x09\x07\0\0\0\0\x22\x00\x01v");
    ck_assert_uint_eq(count(), 0);
}
END_TEST

START_TEST(local_header_whose_rest_is_no_tlv_says_nothing)
{
    static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x20\x11\x00\x04\x02\x00\x09x";
    read_header(header, sizeof header - 1);
    ck_assert_uint_eq(count(), 0);
}
END_TEST

Suite *suite_facts(void)
{
    Suite *s = suite_create("facts");
    TCase *t = tcase_create("facts");
    tcase_add_loop_test(t, vector_says_what_its_row_has, 0, (int)vector_count);
    tcase_add_test(t, googles_number_may_be_large);
    tcase_add_test(t, vendors_values_of_another_shape_say_nothing);
    tcase_add_test(t, of_what_is_said_twice_the_first_well_formed_one_counts);
    tcase_add_test(t, types_of_the_specification);
    tcase_add_loop_test(t, cn_is_one_only_if_a_certificate_was_there_and_verified, 0,
                        (int)(sizeof certificates / sizeof *certificates));
    tcase_add_test(t, second_ssl_tlv_vouches_for_nobody);
    tcase_add_test(t, local_header_whose_rest_is_no_tlv_says_nothing);
    suite_add_tcase(s, t);
    return s;
}
