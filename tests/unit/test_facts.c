/* SPDX-License-Identifier: MIT
 *
 * test_facts.c: what TLVs say (header_tlv.h). The vendors' own headers, as they were captured or documented:
 *
 * - AWS: a Network Load Balancer's header with a VPC endpoint, as pires/go-proxyproto tests it;
 *   the form in "Edit target group attributes for your Network Load Balancer", Proxy protocol.
 * - Google: the packet of the codelab "Private Service Connect: expose services", whose pscConnectionId it prints; the
 *   form in "About published services", PROXY protocol.
 * - Azure: the value that pires/go-proxyproto tests; the form in "What is Azure Private Link service?", TCP proxy v2.
 * - Istio: ztunnel's write_proxy_protocol. Linkerd: pull request 4625 of its proxy, issue 15637.
 */
#include "guard_page.h"
#include "judge.h"
#include "suites.h"
#include <ppshim/header_tlv.h>
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

START_TEST(aws_endpoint_of_a_network_load_balancer)
{
    static const uint8_t header[16 + 84] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x54"
                                           "\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\x00\x50"
                                           "\x03\x00\x04\xe8\xd6\x89\x2d"
                                           "\xea\x00\x17\x01vpce-08d2bf15fac5001c9"
                                           "\x04\x00\x24";
    read_header(header, sizeof header); /* its checksum is right */
    says(PPS_FACT_VPCE, "vpce-08d2bf15fac5001c9");
    ck_assert_uint_eq(count(), 1);
}
END_TEST

START_TEST(google_connection_id_of_the_codelabs_packet)
{
    static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x17"
                                 "\x0a\x00\x3c\x02\x0a\x00\x3c\x64\x81\x38\x00\x50"
                                 "\xe0\x00\x08\x00\x9b\x34\xd7\x0a\x00\x3c\x64";
    read_header(header, sizeof header - 1);
    says_number(PPS_FACT_PSC, 43686719580552292);
    ck_assert_uint_eq(count(), 1);
    READ_TLVS("\xe0\x00\x08\xff\xff\xff\xff\xc0\xa8\x64\x02");
    says_number(PPS_FACT_PSC, UINT64_C(18446744072646845442));
}
END_TEST

START_TEST(azure_link_has_its_low_byte_first)
{
    READ_TLVS("\xee\x00\x05\x01\xc1\x45\x00\x21");
    says_number(PPS_FACT_AZURE_LINK, 0x210045c1);
    ck_assert_uint_eq(count(), 1);
}
END_TEST

START_TEST(identity_of_a_workload)
{
    READ_TLVS("\xd0\x00\x24spiffe://cluster.local/ns/foo/sa/bar");
    says(PPS_FACT_SPIFFE, "spiffe://cluster.local/ns/foo/sa/bar");
    READ_TLVS("\xe0\x00\x2e"
              "app.prod.serviceaccount.identity.linkerd.local");
    says(PPS_FACT_SPIFFE, "app.prod.serviceaccount.identity.linkerd.local");
    ck_assert_uint_eq(count(), 1);
}
END_TEST

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
    tcase_add_test(t, aws_endpoint_of_a_network_load_balancer);
    tcase_add_test(t, google_connection_id_of_the_codelabs_packet);
    tcase_add_test(t, azure_link_has_its_low_byte_first);
    tcase_add_test(t, identity_of_a_workload);
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
