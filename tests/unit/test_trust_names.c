/* SPDX-License-Identifier: MIT
 *
 * test_trust_names.c: lists that know clients by what their headers say.
 */
#include "trust_lists.h"
#include <ppshim/header_tlv.h>

#define TAKEN "lists know clients by vpce:, azure-link:, psc:, cn: and sni: alone"
#define NUMBER "not a number: write it in decimal, as the cloud shows it"
#define ENDPOINT "not an endpoint's id: write one like vpce:vpce-08d2bf15fac5001c9"
#define QUOTES "no quotes: write the name as the log does, a space as \\x20, a quote as \\x22"
#define ADDRESSES "a client's name: such go into PPSHIM_CLIENT_ALLOW or PPSHIM_CLIENT_DENY, and here stand addresses"
#define OUT "a name is not taken out of a list: leave it away, or write it into PPSHIM_CLIENT_DENY, which wins"

static const struct {
    const char *setting, *text, *error; /* NULL: good */
} texts[] = {
    {"PPSHIM_CLIENT_ALLOW", "vpce:vpce-08d2bf15fac5001c9", NULL},
    {"PPSHIM_CLIENT_DENY", "azure-link:0 azure-link:4294967295,psc:18446744073709551615\tsni:DB.example.com", NULL},
    {"PPSHIM_CLIENT_ALLOW", "10.0.0.0/8 !10.0.0.1 cn:app", NULL},
    {"PPSHIM_CLIENT_ALLOW", "cn:J\\x20D\\x2C\\x5c\\x22,cn:CN=x:y,cn:\xc3\xbc", NULL},
    {"PPSHIM_CLIENT_ALLOW", "@/nowhere vpce:vpce-1", NULL},
    {"PPSHIM_CLIENT_ALLOW", "vpce:08d2", "PPSHIM_CLIENT_ALLOW=vpce:08d2: " ENDPOINT},
    {"PPSHIM_CLIENT_ALLOW", "vpce:vpce-", "PPSHIM_CLIENT_ALLOW=vpce:vpce-: " ENDPOINT},
    {"PPSHIM_CLIENT_ALLOW", "vpce:vpce-A", "PPSHIM_CLIENT_ALLOW=vpce:vpce-A: " ENDPOINT},
    {"PPSHIM_CLIENT_ALLOW", "vpce:", "PPSHIM_CLIENT_ALLOW=vpce:: a name is missing behind the colon"},
    {"PPSHIM_CLIENT_DENY", "azure-link:0x12", "PPSHIM_CLIENT_DENY=azure-link:0x12: " NUMBER},
    {"PPSHIM_CLIENT_DENY", "psc:-1", "PPSHIM_CLIENT_DENY=psc:-1: " NUMBER},
    {"PPSHIM_CLIENT_DENY", "psc:01", "PPSHIM_CLIENT_DENY=psc:01: " NUMBER},
    {"PPSHIM_CLIENT_DENY", "azure-link:4294967296", "PPSHIM_CLIENT_DENY=azure-link:4294967296: too large a number"},
    {"PPSHIM_CLIENT_DENY", "psc:18446744073709551616",
     "PPSHIM_CLIENT_DENY=psc:18446744073709551616: too large a number"},
    {"PPSHIM_CLIENT_DENY", "psc:99999999999999999999999",
     "PPSHIM_CLIENT_DENY=psc:99999999999999999999999: too large a number"},
    {"PPSHIM_CLIENT_ALLOW", "sni:*.example.com",
     "PPSHIM_CLIENT_ALLOW=sni:*.example.com: no wildcards: write each host"},
    {"PPSHIM_CLIENT_ALLOW", "sni:a.",
     "PPSHIM_CLIENT_ALLOW=sni:a.: clients send it without the dot at the end: write it so"},
    {"PPSHIM_CLIENT_ALLOW", "cn:\"app\"", "PPSHIM_CLIENT_ALLOW=cn:\"app\": " QUOTES},
    {"PPSHIM_CLIENT_ALLOW", "cn:a\\n",
     "PPSHIM_CLIENT_ALLOW=cn:a\\x5cn: a backslash begins \\xNN, as in the log: write itself as \\x5c"},
    {"PPSHIM_CLIENT_ALLOW", "cn:a\\x2",
     "PPSHIM_CLIENT_ALLOW=cn:a\\x5cx2: a backslash begins \\xNN, as in the log: write itself as \\x5c"},
    {"PPSHIM_CLIENT_ALLOW", "cn-unverified:app",
     "PPSHIM_CLIENT_ALLOW=cn-unverified:app: anybody can claim that name: cn: is the one of a certificate that the "
     "balancer verified"},
    {"PPSHIM_CLIENT_ALLOW", "spiffe:spiffe://a", "PPSHIM_CLIENT_ALLOW=spiffe:spiffe://a: " TAKEN},
    {"PPSHIM_CLIENT_ALLOW", "ssl:TLSv1.3", "PPSHIM_CLIENT_ALLOW=ssl:TLSv1.3: " TAKEN},
    {"PPSHIM_CLIENT_ALLOW", "!cn:app", "PPSHIM_CLIENT_ALLOW=!cn:app: " OUT},
    {"PPSHIM_CLIENT_ALLOW", "cn:app !10.0.0.1", "PPSHIM_CLIENT_ALLOW=cn:app !10.0.0.1" ONLY_OUT},
    {"PPSHIM_TRUST", "10.0.0.1,vpce:vpce-1", "PPSHIM_TRUST=vpce:vpce-1: " ADDRESSES},
    {"PPSHIM_TRUST", "!cn:app", "PPSHIM_TRUST=!cn:app: " ADDRESSES},
    {"PPSHIM_LIMIT_EXEMPT", "10.0.0.1 cn:app", "PPSHIM_LIMIT_EXEMPT=cn:app: " ADDRESSES},
    {"PPSHIM_HEADER_OPTIONAL", "sni:db", "PPSHIM_HEADER_OPTIONAL=sni:db: " ADDRESSES},
};

START_TEST(a_text_with_names_is_checked)
{
    bool good = pps_trust_check(texts[_i].setting, texts[_i].text, error);
    ck_assert_str_eq(error, texts[_i].error ? texts[_i].error : "no error");
    ck_assert_int_eq(good, !texts[_i].error);
}
END_TEST

START_TEST(a_name_has_255_bytes_at_most)
{
    char text[300] = "cn:";
    memset(text + 3, 'x', 255);
    ck_assert_msg(pps_trust_check("PPSHIM_CLIENT_ALLOW", text, error), "%s", error);
    text[3 + 255] = 'x';
    ck_assert(!pps_trust_check("PPSHIM_CLIENT_ALLOW", text, error));
    ck_assert_ptr_nonnull(strstr(error, "...: too long: a name has 255 bytes at most"));
}
END_TEST

/* --- who is let in --- */

static char allow_text[TEXT], deny_text[TEXT];
static struct pps_name_text refused;

static void lists(const char *allow, const char *deny)
{
    config.client_allow = allow ? with_dir(allow, allow_text) : NULL;
    config.client_deny = deny ? with_dir(deny, deny_text) : NULL;
    must_load("10.0.0.0/8", NULL);
}

/* Of a header with this source, NULL: UNKNOWN, and these TLVs. */
static bool lets_in(const char *source, const char *tlvs, size_t length)
{
    struct pps_header h = {.version = 2, .has_client = source, .tlvs = {(const uint8_t *)tlvs, length}};
    if (source)
        h.src = addr(source);
    refused = (struct pps_name_text){0};
    return pps_client_allowed(&h, &refused);
}

#define LETS_IN(source, tlvs) lets_in(source, tlvs, sizeof(tlvs) - 1)

static void by_name(const char *name)
{
    ck_assert_int_eq(refused.length, strlen(name));
    ck_assert_mem_eq(refused.text, name, strlen(name));
}

#define VPCE_1 "\xea\x00\x07\x01vpce-1"
#define VPCE_2 "\xea\x00\x07\x01vpce-2"
#define LINK "\xee\x00\x05\x01\x78\x56\x34\x12" /* 305419896 */
#define PSC "\xe0\x00\x08\x00\x9b\x34\xd7\x0a\x00\x3c\x64"
#define CN_APP                                                                                                         \
    "\x20\x00\x0b\x03\0\0\0\0\x22\x00\x03"                                                                             \
    "app"
#define UNVERIFIED_APP                                                                                                 \
    "\x20\x00\x0b\x03\0\0\0\x01\x22\x00\x03"                                                                           \
    "app"
#define SNI_DB                                                                                                         \
    "\x02\x00\x0a"                                                                                                     \
    "DB.Example"

START_TEST(each_kind_of_name_lets_in_whoever_has_it)
{
    lists("vpce:vpce-1 azure-link:305419896 psc:43686719580552292 cn:app sni:db.EXAMPLE", NULL);
    ck_assert(LETS_IN("192.168.0.1", VPCE_1));
    ck_assert(LETS_IN("192.168.0.1", LINK));
    ck_assert(LETS_IN("192.168.0.1", PSC));
    ck_assert(LETS_IN("192.168.0.1", CN_APP));
    ck_assert(LETS_IN("192.168.0.1", SNI_DB));
    ck_assert(LETS_IN("192.168.0.1", VPCE_2 CN_APP));
    ck_assert(!LETS_IN("192.168.0.1", VPCE_2));
    by_name("vpce:vpce-2");
    ck_assert(!LETS_IN("192.168.0.1", UNVERIFIED_APP));
    by_name("");
    ck_assert(!LETS_IN("192.168.0.1", "\x02\x00\x02"
                                      "db"));
    by_name("sni:db");
    ck_assert(!LETS_IN("192.168.0.1", "\xee\x00\x05\x01\x12\x34\x56\x78"));
    by_name("azure-link:2018915346");
}
END_TEST

START_TEST(a_header_without_a_name_is_not_let_in_by_a_list_of_names_alone)
{
    lists("vpce:vpce-1", NULL);
    ck_assert(!LETS_IN("192.168.0.1", ""));
    ck_assert(!LETS_IN(NULL, ""));
    ck_assert(LETS_IN(NULL, VPCE_1));
}
END_TEST

START_TEST(names_stand_beside_addresses)
{
    lists("192.168.0.0/24 !192.168.0.9 vpce:vpce-1", NULL);
    ck_assert(LETS_IN("192.168.0.1", ""));
    ck_assert(LETS_IN("192.168.0.1", VPCE_2));
    ck_assert(LETS_IN("172.16.0.1", VPCE_1));
    ck_assert(LETS_IN("192.168.0.9", VPCE_1));
    ck_assert(!LETS_IN("192.168.0.9", ""));
    ck_assert(!LETS_IN("172.16.0.1", VPCE_2));
}
END_TEST

/* As it was before there were names: a list of addresses is not about headers that tell none. */
START_TEST(a_client_without_an_address_is_judged_by_names_alone)
{
    lists("192.168.0.0/24", "vpce:vpce-2 0.0.0.0/0");
    ck_assert(LETS_IN(NULL, ""));
    ck_assert(LETS_IN(NULL, VPCE_1));
    ck_assert(!LETS_IN(NULL, VPCE_2));
    by_name("vpce:vpce-2");
}
END_TEST

START_TEST(deny_wins)
{
    lists("192.168.0.0/24 vpce:vpce-1", "cn:app 192.168.0.7");
    ck_assert(LETS_IN("192.168.0.1", VPCE_1));
    ck_assert(!LETS_IN("192.168.0.1", VPCE_1 CN_APP));
    by_name("cn:app");
    ck_assert(!LETS_IN("192.168.0.7", VPCE_1));
    by_name("");
    ck_assert(LETS_IN("192.168.0.1", UNVERIFIED_APP));
}
END_TEST

START_TEST(without_lists_everybody_is_let_in)
{
    lists(NULL, NULL);
    ck_assert(LETS_IN("192.168.0.1", VPCE_1));
    ck_assert(LETS_IN(NULL, ""));
}
END_TEST

START_TEST(a_name_is_compared_byte_by_byte_but_for_the_case_of_a_host)
{
    lists("cn:App cn:a\\x20b\\x2c\\x00c vpce:vpce-1", NULL);
    ck_assert(!LETS_IN("192.168.0.1", CN_APP));
    ck_assert(LETS_IN("192.168.0.1", "\x20\x00\x0e\x03\0\0\0\0\x22\x00\x06"
                                     "a b,\0c"));
    ck_assert(!LETS_IN("192.168.0.1", "\x20\x00\x0d\x03\0\0\0\0\x22\x00\x05"
                                      "a b,\0"));
    ck_assert(!LETS_IN("192.168.0.1", "\xea\x00\x08\x01vpce-1\0"));
    ck_assert(!LETS_IN("192.168.0.1", "\x02\x00\x06vpce-1")); /* another kind */
}
END_TEST

START_TEST(of_a_long_name_the_beginning_is_kept)
{
    char tlvs[3 + 300] = "\x02\x01\x2c";
    memset(tlvs + 3, 'x', 300);
    lists("sni:db", NULL);
    ck_assert(!lets_in("192.168.0.1", tlvs, sizeof tlvs));
    by_name("sni:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...");
    tlvs[1] = 0;
    tlvs[2] = 36;
    ck_assert(!lets_in("192.168.0.1", tlvs, 3 + 36));
    by_name("sni:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...");
    tlvs[2] = 35;
    ck_assert(!lets_in("192.168.0.1", tlvs, 3 + 35));
    by_name("sni:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}
END_TEST

START_TEST(the_longest_name_there_is_lets_in)
{
    char list[4 + 255 + 1] = "sni:", tlvs[3 + 256] = "\x02\x00\xff";
    memset(list + 4, 'x', 255);
    memset(tlvs + 3, 'x', 256);
    lists(list, NULL);
    ck_assert(lets_in("192.168.0.1", tlvs, 3 + 255));
    tlvs[1] = 1;
    tlvs[2] = 0;
    ck_assert(!lets_in("192.168.0.1", tlvs, 3 + 256));
}
END_TEST

/* --- files --- */

START_TEST(names_in_a_file_are_read_and_read_again)
{
    put("allow", "# endpoints\nvpce:vpce-1 # the first\r\ncn:app, sni:db.example\n");
    lists("@%/allow", NULL);
    ck_assert(LETS_IN("192.168.0.1", VPCE_1));
    ck_assert(!LETS_IN("192.168.0.1", VPCE_2));
    put("allow", "vpce:vpce-2\n");
    tells(false, "reloaded PPSHIM_CLIENT_ALLOW prefixes=1");
    ck_assert(!LETS_IN("192.168.0.1", VPCE_1));
    ck_assert(LETS_IN("192.168.0.1", VPCE_2));
    put("allow", "vpce:vpce-1\nvpce:3\n");
    tells(true, "PPSHIM_CLIENT_ALLOW=@%/allow: line 2: vpce:3: " ENDPOINT KEPT);
    ck_assert(LETS_IN("192.168.0.1", VPCE_2));
}
END_TEST

START_TEST(a_file_whose_names_are_known_already_is_not_empty)
{
    put("allow", "vpce:vpce-1\n");
    lists("vpce:vpce-1 @%/allow", NULL);
    ck_assert(LETS_IN("192.168.0.1", VPCE_1));
}
END_TEST

START_TEST(of_many_names_each_is_found_and_no_other)
{
    enum { MANY = 20000 };
    FILE *f = fopen(path_of("allow"), "w");
    for (unsigned i = 0; i < MANY; i++)
        fprintf(f, "azure-link:%u\n", i * 2);
    ck_assert_int_eq(fclose(f), 0);
    lists("@%/allow", NULL);
    for (unsigned i = 0; i < 2 * MANY; i++) {
        char tlv[] = {'\xee', 0, 5, 1, (char)i, (char)(i >> 8), (char)(i >> 16), 0};
        if (lets_in("192.168.0.1", tlv, sizeof tlv) != (i % 2 == 0))
            ck_abort_msg("%u", i);
    }
}
END_TEST

Suite *suite_trust_names(void)
{
    Suite *s = suite_create("trust_names");
    TCase *t = new_case(s, "names");
    tcase_add_loop_test(t, a_text_with_names_is_checked, 0, COUNT(texts));
    tcase_add_test(t, a_name_has_255_bytes_at_most);
    tcase_add_test(t, each_kind_of_name_lets_in_whoever_has_it);
    tcase_add_test(t, a_header_without_a_name_is_not_let_in_by_a_list_of_names_alone);
    tcase_add_test(t, names_stand_beside_addresses);
    tcase_add_test(t, a_client_without_an_address_is_judged_by_names_alone);
    tcase_add_test(t, deny_wins);
    tcase_add_test(t, without_lists_everybody_is_let_in);
    tcase_add_test(t, a_name_is_compared_byte_by_byte_but_for_the_case_of_a_host);
    tcase_add_test(t, of_a_long_name_the_beginning_is_kept);
    tcase_add_test(t, the_longest_name_there_is_lets_in);
    tcase_add_test(t, names_in_a_file_are_read_and_read_again);
    tcase_add_test(t, a_file_whose_names_are_known_already_is_not_empty);
    tcase_add_test(t, of_many_names_each_is_found_and_no_other);
    return s;
}
