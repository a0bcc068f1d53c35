/* SPDX-License-Identifier: MIT
 *
 * test_config.c: the environment to a configuration (config.h).
 */
#include "suites.h"
#include <ppshim/config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLES 5

static struct pps_config config;
static char error[PPS_ERROR_TEXT];

/* The variables up to the first NULL, among others as they stand in any environment. */
static bool read_env(const char *const variables[VARIABLES])
{
    char *env[VARIABLES + 4] = {"PATH=/bin", "PPSHIMX=1", "ppshim_trust=x"};
    int n = 3;
    for (int i = 0; i < VARIABLES && variables[i]; i++)
        env[n++] = (char *)variables[i];
    memset(&config, 0xa5, sizeof config);
    strcpy(error, "accepted");
    return pps_config_read(env, &config, error);
}

/* Beside a list, without which no setting is accepted; of two of one name the first counts. */
static bool read_one(const char *variable)
{
    return read_env((const char *const[VARIABLES]){variable, "PPSHIM_TRUST=192.0.2.9"});
}

/* --- what is accepted --- */

START_TEST(without_settings_the_shim_is_off_and_every_default_holds)
{
    ck_assert_msg(read_env((const char *const[VARIABLES]){NULL}), "%s", error);
    ck_assert(!config.on);
    ck_assert_ptr_null(config.trust);
    ck_assert_ptr_null(config.header_optional);
    ck_assert_ptr_null(config.client_allow);
    ck_assert_ptr_null(config.client_deny);
    ck_assert_uint_eq(config.timeout_ms, 3000);
    ck_assert(config.version_accepted[1] && config.version_accepted[2]);
    ck_assert(!config.defer_accept);
    ck_assert(!config.reject_untrusted);
    ck_assert(!config.inherited);
    ck_assert(!config.local_from_header);
    ck_assert_uint_eq(config.client_rate.count, 0);
    ck_assert_uint_eq(config.client_max.count, 0);
    ck_assert_ptr_null(config.limit_exempt);
    ck_assert_uint_eq(config.max_pending, 0);
    ck_assert_ptr_null(config.stats);
    ck_assert_int_eq(config.log_target, PPS_LOG_AUTO);
    ck_assert_int_eq(config.log_level, PPS_LOG_NOTICE);
    ck_assert_ptr_null(config.log_path);
    ck_assert(pps_config_governs(&config, 1) && pps_config_governs(&config, 65535));
}
END_TEST

START_TEST(list_texts_outlive_an_environment_that_is_overwritten)
{
    char trust[] = "PPSHIM_TRUST=10.0.0.0/8,@/etc/ppshim/trust", optional[] = "PPSHIM_HEADER_OPTIONAL=192.0.2.1";
    char allow[] = "PPSHIM_CLIENT_ALLOW=2001:db8::/32 !2001:db8::7", deny[] = "PPSHIM_CLIENT_DENY=203.0.113.7";
    char log[] = "PPSHIM_LOG=/var/log/pp:shim:info", stats[] = "PPSHIM_STATS=/run/ppshim";
    char *env[] = {trust, optional, allow, deny, log, stats, NULL};
    ck_assert_msg(pps_config_read(env, &config, error), "%s", error);
    for (char **e = env; *e; e++)
        memset(*e, 'x', strlen(*e));
    ck_assert(config.on);
    ck_assert_str_eq(config.trust, "10.0.0.0/8,@/etc/ppshim/trust");
    ck_assert_str_eq(config.header_optional, "192.0.2.1");
    ck_assert_str_eq(config.client_allow, "2001:db8::/32 !2001:db8::7");
    ck_assert_str_eq(config.client_deny, "203.0.113.7");
    ck_assert_str_eq(config.log_path, "/var/log/pp:shim");
    ck_assert_str_eq(config.stats, "/run/ppshim");
    ck_assert_int_eq(config.log_level, PPS_LOG_INFO);
}
END_TEST

static const char *const offs[] = {"PPSHIM_TRUST=none", "PPSHIM_TRUST= none ", "PPSHIM_TRUST=,none\n"};

START_TEST(trust_none_turns_the_shim_off)
{
    ck_assert_msg(read_env((const char *const[VARIABLES]){offs[_i], "PPSHIM_CLIENT_DENY=192.0.2.1"}), "%s", error);
    ck_assert(!config.on);
    ck_assert_ptr_null(config.trust);
    ck_assert_ptr_null(config.client_deny);
}
END_TEST

START_TEST(header_optional_alone_turns_the_shim_on)
{
    ck_assert_msg(
        read_env((const char *const[VARIABLES]){"PPSHIM_HEADER_OPTIONAL=10.0.0.0/8", "PPSHIM_LOCAL_ADDR=header"}), "%s",
        error);
    ck_assert(config.on && config.local_from_header);
    ck_assert_ptr_null(config.trust);
    ck_assert_str_eq(config.header_optional, "10.0.0.0/8");
}
END_TEST

START_TEST(trust_none_wins_over_header_optional)
{
    ck_assert_msg(read_env((const char *const[VARIABLES]){"PPSHIM_TRUST=none", "PPSHIM_HEADER_OPTIONAL=10.0.0.0/8"}),
                  "%s", error);
    ck_assert(!config.on);
    ck_assert_ptr_null(config.header_optional);
}
END_TEST

/* Right ones, of every setting but the two lists. */
static const char *const lonely[] = {
    "PPSHIM_PORTS=all",         "PPSHIM_TIMEOUT=3s",
    "PPSHIM_VERSIONS=1,2",      "PPSHIM_DEFER_ACCEPT=off",
    "PPSHIM_UNTRUSTED=reject",  "PPSHIM_CLIENT_ALLOW=192.0.2.1",
    "PPSHIM_CLIENT_DENY=::/0",  "PPSHIM_INHERITED=on",
    "PPSHIM_LOCAL_ADDR=socket", "PPSHIM_MAX_PENDING=7",
    "PPSHIM_LOG=auto",          "PPSHIM_LOG_TLVS=0xEA",
    "PPSHIM_STATS=/run/ppshim", "PPSHIM_CLIENT_RATE=20/10s",
    "PPSHIM_CLIENT_MAX=50",     "PPSHIM_LIMIT_EXEMPT=192.0.2.1",
    "PPSHIM_JOURNAL=/run/j",
};
_Static_assert(sizeof lonely / sizeof *lonely == PPS_SET_COUNT - 2, "all but the lists");

START_TEST(any_other_setting_without_either_list_is_an_error)
{
    char expected[PPS_ERROR_TEXT];
    ck_assert(!read_env((const char *const[VARIABLES]){lonely[_i]}));
    snprintf(
        expected, sizeof expected,
        "%s: without PPSHIM_TRUST or PPSHIM_HEADER_OPTIONAL the shim is off: set one of them (PPSHIM_TRUST=none if "
        "off is meant)",
        lonely[_i]);
    ck_assert_str_eq(error, expected);
    ck_assert_msg(read_env((const char *const[VARIABLES]){lonely[_i], "PPSHIM_TRUST=none"}), "%s", error);
    ck_assert_msg(read_env((const char *const[VARIABLES]){lonely[_i], "PPSHIM_HEADER_OPTIONAL=::1"}), "%s", error);
}
END_TEST

START_TEST(the_first_of_two_variables_of_one_name_wins)
{
    ck_assert(read_env((const char *const[VARIABLES]){"PPSHIM_TIMEOUT=5s", "PPSHIM_TIMEOUT=bad", "PPSHIM_TRUST=::1"}));
    ck_assert_uint_eq(config.timeout_ms, 5000);
}
END_TEST

static const char *const foreign[] = {
    "PPSHIM_PORT=tcp://10.0.0.11:3306",
    "PPSHIM_PORT=udp://10.0.0.11:3306",
    "PPSHIM_PORT_3306_TCP=tcp://10.0.0.11:3306",
    "PPSHIM_PORT_3306_TCP_ADDR=10.0.0.11",
    "PPSHIM_SERVICE_HOST=10.0.0.11",
    "PPSHIM_SERVICE_PORT=3306",
    "PPSHIM_SERVICE_PORT_MYSQL=3306",
    "PPSHIM_DEMO_SERVICE_HOST=10.0.0.11",
    "PPSHIM_DEMO_PORT=tcp://10.0.0.11:3306",
    "PPSHIM_DEMO_PORT_3306_TCP_PROTO=tcp",
};

START_TEST(what_kubernetes_makes_of_a_service_called_ppshim_is_let_be)
{
    ck_assert_msg(read_env((const char *const[VARIABLES]){foreign[_i]}), "%s", error);
    ck_assert(!config.on);
}
END_TEST

static const struct {
    const char *text;
    unsigned ms;
} timeouts[] = {{"PPSHIM_TIMEOUT=3s", 3000},   {"PPSHIM_TIMEOUT=100ms", 100},     {"PPSHIM_TIMEOUT=500ms", 500},
                {"PPSHIM_TIMEOUT=60s", 60000}, {"PPSHIM_TIMEOUT=60000ms", 60000}, {"PPSHIM_TIMEOUT=1s", 1000}};

START_TEST(a_timeout_has_a_unit)
{
    ck_assert_msg(read_one(timeouts[_i].text), "%s", error);
    ck_assert_uint_eq(config.timeout_ms, timeouts[_i].ms);
}
END_TEST

static const struct {
    const char *text, *governed, *not_governed;
} ports[] = {
    {"PPSHIM_PORTS=all", "1 22 3306 65535", ""},
    {"PPSHIM_PORTS=3306", "3306", "1 3305 3307 65535"},
    {"PPSHIM_PORTS=3306,5432,8000-8010", "3306 5432 8000 8005 8010", "7999 8011 22"},
    {"PPSHIM_PORTS= 3306\t5432 ,, 65535", "3306 5432 65535", "65534 1"},
    {"PPSHIM_PORTS=1-65535", "1 2 65535", ""},
    {"PPSHIM_PORTS=7-7", "7", "6 8"},
};

START_TEST(ports_are_numbers_ranges_or_all)
{
    ck_assert_msg(read_one(ports[_i].text), "%s", error);
    const char *at = ports[_i].governed;
    unsigned port;
    for (int n; sscanf(at, "%u%n", &port, &n) == 1; at += n)
        ck_assert_msg(pps_config_governs(&config, (uint16_t)port), "%s: %u", ports[_i].text, port);
    at = ports[_i].not_governed;
    for (int n; sscanf(at, "%u%n", &port, &n) == 1; at += n)
        ck_assert_msg(!pps_config_governs(&config, (uint16_t)port), "%s: %u", ports[_i].text, port);
}
END_TEST

static const struct {
    const char *text;
    bool one, two;
} versions[] = {{"PPSHIM_VERSIONS=1", true, false},
                {"PPSHIM_VERSIONS=2", false, true},
                {"PPSHIM_VERSIONS=1,2", true, true},
                {"PPSHIM_VERSIONS=2 1", true, true}};

START_TEST(versions_are_one_two_or_both)
{
    ck_assert_msg(read_one(versions[_i].text), "%s", error);
    ck_assert_int_eq(config.version_accepted[1], versions[_i].one);
    ck_assert_int_eq(config.version_accepted[2], versions[_i].two);
}
END_TEST

START_TEST(switches_have_two_words)
{
    ck_assert(read_env((const char *const[VARIABLES]){"PPSHIM_DEFER_ACCEPT=on", "PPSHIM_UNTRUSTED=reject",
                                                      "PPSHIM_LOCAL_ADDR=header", "PPSHIM_INHERITED=on",
                                                      "PPSHIM_TRUST=10.0.0.1"}));
    ck_assert(config.defer_accept && config.reject_untrusted && config.local_from_header && config.inherited);
    ck_assert(read_env((const char *const[VARIABLES]){"PPSHIM_DEFER_ACCEPT=off", "PPSHIM_UNTRUSTED=pass",
                                                      "PPSHIM_LOCAL_ADDR=socket", "PPSHIM_INHERITED=off",
                                                      "PPSHIM_TRUST=10.0.0.1"}));
    ck_assert(!config.defer_accept && !config.reject_untrusted && !config.local_from_header && !config.inherited);
}
END_TEST

START_TEST(shim_that_is_off_does_not_tell_local_addresses)
{
    ck_assert(read_env((const char *const[VARIABLES]){"PPSHIM_LOCAL_ADDR=header", "PPSHIM_TRUST=none"}));
    ck_assert(!config.local_from_header);
}
END_TEST

START_TEST(a_journals_path_fits_a_sockets_address)
{
    char text[200] = "PPSHIM_JOURNAL=/";
    size_t length = strlen(text) + 106;
    memset(text + strlen(text), 'x', 106);
    ck_assert(read_one(text));
    ck_assert_uint_eq(strlen(config.journal), 107);
    text[length] = 'x';
    ck_assert(!read_one(text));
    ck_assert_ptr_nonnull(strstr(error, ": longer than the 107 bytes that a socket's path can have"));
}
END_TEST

START_TEST(log_tlvs_are_types_in_hexadecimal)
{
    ck_assert(read_one("PPSHIM_LOG_TLVS=0xEA, 0xe0,0x0"));
    for (unsigned type = 0; type < 256; type++)
        ck_assert_int_eq(pps_config_logs_tlv(&config, (uint8_t)type), type == 0xEA || type == 0xE0 || type == 0);
}
END_TEST

START_TEST(max_pending_is_one_to_a_million)
{
    ck_assert(read_one("PPSHIM_MAX_PENDING=1"));
    ck_assert_uint_eq(config.max_pending, 1);
    ck_assert(read_one("PPSHIM_MAX_PENDING=1000000"));
    ck_assert_uint_eq(config.max_pending, 1000000);
}
END_TEST

static const struct {
    const char *text;
    enum pps_log_target target;
    enum pps_log_level level;
    const char *path;
} logs[] = {
    {"PPSHIM_LOG=auto", PPS_LOG_AUTO, PPS_LOG_NOTICE, NULL},
    {"PPSHIM_LOG=stderr", PPS_LOG_STDERR, PPS_LOG_NOTICE, NULL},
    {"PPSHIM_LOG=syslog:error", PPS_LOG_SYSLOG, PPS_LOG_ERROR, NULL},
    {"PPSHIM_LOG=journal:debug", PPS_LOG_JOURNAL, PPS_LOG_DEBUG, NULL},
    {"PPSHIM_LOG=auto:info", PPS_LOG_AUTO, PPS_LOG_INFO, NULL},
    {"PPSHIM_LOG=/var/log/ppshim", PPS_LOG_FILE, PPS_LOG_NOTICE, "/var/log/ppshim"},
    {"PPSHIM_LOG=/var/log/ppshim:debug", PPS_LOG_FILE, PPS_LOG_DEBUG, "/var/log/ppshim"},
    {"PPSHIM_LOG=/a:b/c:d", PPS_LOG_FILE, PPS_LOG_NOTICE, "/a:b/c:d"},
    {"PPSHIM_LOG=/a:info:error", PPS_LOG_FILE, PPS_LOG_ERROR, "/a:info"},
    {"PPSHIM_LOG=/a:", PPS_LOG_FILE, PPS_LOG_NOTICE, "/a:"},
};

START_TEST(log_is_a_target_and_perhaps_a_level)
{
    ck_assert_msg(read_one(logs[_i].text), "%s", error);
    ck_assert_int_eq(config.log_target, logs[_i].target);
    ck_assert_int_eq(config.log_level, logs[_i].level);
    if (logs[_i].path)
        ck_assert_str_eq(config.log_path, logs[_i].path);
    else
        ck_assert_ptr_null(config.log_path);
}
END_TEST

/* --- what is refused, and how --- */

#define TIME ": not a time: write a whole number and its unit, like 3s or 500ms"
#define PORT " is not a port: write numbers from 1 to 65535, ranges like 8000-8010, or all"
#define PENDING ": not a number of connections: write one from 1 to 1000000, like 1024"
#define TARGET ": no such target: write auto, stderr, syslog, journal or /absolute/path, and :LEVEL if you like"
#define TYPE " is not a type: write two hexadecimal digits behind 0x, like 0xEA,0xE0"
#define EMPTY_LIST ": set but empty: write addresses and CIDRs like 10.0.0.0/8, or leave it unset"
#define EMPTY_TRUST ": set but empty: write addresses and CIDRs like 10.0.0.0/8, or none to turn the shim off"
#define UNIX_PATH                                                                                                      \
    ": a listener is named by the whole path of its socket: write one like unix:/run/server.sock, or unix:@name"

static const struct {
    const char *variable, *error;
} refusals[] = {
    {"PPSHIM_TRUST=", "PPSHIM_TRUST=" EMPTY_TRUST},
    {"PPSHIM_TRUST", "PPSHIM_TRUST=" EMPTY_TRUST},
    {"PPSHIM_TRUST= , ", "PPSHIM_TRUST= , " EMPTY_TRUST},
    {"PPSHIM_TRUST=10.1.2.3/8",
     "PPSHIM_TRUST=10.1.2.3/8 has host bits set: write 10.0.0.0/8, or 10.1.2.3 for the one host"},
    {"PPSHIM_TRUST=192.0.2.1,balancer.example",
     "PPSHIM_TRUST=balancer.example: write an address or a CIDR, names are not looked up"},
    {"PPSHIM_TRUST=10.0.0.0/8;192.168.0.0/16",
     "PPSHIM_TRUST=10.0.0.0/8;192.168.0.0/16: entries are separated by commas or spaces, not by ;"},
    {"PPSHIM_TRUST=10.0.0.1|10.0.0.2",
     "PPSHIM_TRUST=10.0.0.1|10.0.0.2: entries are separated by commas or spaces, not by |"},
    {"PPSHIM_TRUST=any", "PPSHIM_TRUST=any: everybody is written 0.0.0.0/0 ::/0"},
    {"PPSHIM_TRUST=all", "PPSHIM_TRUST=all: everybody is written 0.0.0.0/0 ::/0"},
    {"PPSHIM_TRUST=*", "PPSHIM_TRUST=*: everybody is written 0.0.0.0/0 ::/0"},
    {"PPSHIM_TRUST=10.0.0.1,unix:run/x.sock", "PPSHIM_TRUST=unix:run/x.sock" UNIX_PATH},
    {"PPSHIM_TRUST=unix:", "PPSHIM_TRUST=unix:" UNIX_PATH},
    {"PPSHIM_TRUST=unix:/", "PPSHIM_TRUST=unix:/" UNIX_PATH},
    {"PPSHIM_TRUST=unix:@", "PPSHIM_TRUST=unix:@" UNIX_PATH},
    {"PPSHIM_TRUST=10.0.0.1 !unix:/run/x.sock",
     "PPSHIM_TRUST=!unix:/run/x.sock: a listener is not taken out of a list: leave its unix: entry away"},
    {"PPSHIM_CLIENT_DENY=unix:/run/x.sock",
     "PPSHIM_CLIENT_DENY=unix:/run/x.sock: a listener is no client: unix: entries go into PPSHIM_TRUST or "
     "PPSHIM_HEADER_OPTIONAL"},
    {"PPSHIM_TRUST=unix:/run/x.sock !10.0.0.1",
     "PPSHIM_TRUST=unix:/run/x.sock !10.0.0.1: exclusions only: write what they are taken out of as well"},
    {"PPSHIM_TRUST=none,10.0.0.0/8",
     "PPSHIM_TRUST=none,10.0.0.0/8: none stands alone: write PPSHIM_TRUST=none to turn the shim off"},
    {"PPSHIM_TRUST=none none",
     "PPSHIM_TRUST=none none: none stands alone: write PPSHIM_TRUST=none to turn the shim off"},
    {"PPSHIM_TRUST=!10.0.0.1", "PPSHIM_TRUST=!10.0.0.1: exclusions only: write what they are taken out of as well"},
    {"PPSHIM_TRUST=@trust",
     "PPSHIM_TRUST=@trust: a file is named by its absolute path: write one like @/etc/ppshim/trust"},
    {"PPSHIM_HEADER_OPTIONAL=", "PPSHIM_HEADER_OPTIONAL=" EMPTY_LIST},
    {"PPSHIM_HEADER_OPTIONAL=none", "PPSHIM_HEADER_OPTIONAL=none: only PPSHIM_TRUST can be none: leave this one unset"},
    {"PPSHIM_CLIENT_ALLOW=", "PPSHIM_CLIENT_ALLOW=" EMPTY_LIST},
    {"PPSHIM_CLIENT_ALLOW=!10.0.0.1",
     "PPSHIM_CLIENT_ALLOW=!10.0.0.1: exclusions only: write what they are taken out of as well"},
    {"PPSHIM_CLIENT_RATE=", "PPSHIM_CLIENT_RATE=: set but empty: write a value, or leave it unset"},
    {"PPSHIM_CLIENT_RATE=20", "PPSHIM_CLIENT_RATE=20: a rate needs a time: write 20/10s"},
    {"PPSHIM_CLIENT_MAX=0", "PPSHIM_CLIENT_MAX=0: nobody would ever get in: write 1 or more"},
    {"PPSHIM_LIMIT_EXEMPT=unix:/run/x.sock",
     "PPSHIM_LIMIT_EXEMPT=unix:/run/x.sock: a listener is no client: unix: entries go into PPSHIM_TRUST or "
     "PPSHIM_HEADER_OPTIONAL"},
    {"PPSHIM_CLIENT_DENY=\t", "PPSHIM_CLIENT_DENY=\\x09" EMPTY_LIST},
    {"PPSHIM_CLIENT_DENY=10.0.0.0/33", "PPSHIM_CLIENT_DENY=10.0.0.0/33: an IPv4 prefix is /0 to /32"},
    {"PPSHIM_PORTS=", "PPSHIM_PORTS=: set but empty: write a value like all, or leave it unset"},
    {"PPSHIM_PORTS=,", "PPSHIM_PORTS=,: no port in it: write all, or ports like 3306,8000-8010"},
    {"PPSHIM_PORTS=mysql", "PPSHIM_PORTS=mysql: mysql" PORT},
    {"PPSHIM_PORTS=3306,65536", "PPSHIM_PORTS=3306,65536: 65536" PORT},
    {"PPSHIM_PORTS=99999999999999999999999", "PPSHIM_PORTS=99999999999999999999999: 99999999999999999999999" PORT},
    {"PPSHIM_PORTS=03306", "PPSHIM_PORTS=03306: 03306" PORT},
    {"PPSHIM_PORTS=8000-", "PPSHIM_PORTS=8000-: 8000-" PORT},
    {"PPSHIM_PORTS=-8000", "PPSHIM_PORTS=-8000: -8000" PORT},
    {"PPSHIM_PORTS=1-2-3", "PPSHIM_PORTS=1-2-3: 1-2-3" PORT},
    {"PPSHIM_PORTS=8000 - 8010", "PPSHIM_PORTS=8000 - 8010: -" PORT},
    {"PPSHIM_PORTS=3306;5432", "PPSHIM_PORTS=3306;5432: 3306;5432" PORT},
    {"PPSHIM_PORTS=0", "PPSHIM_PORTS=0: nothing listens on port 0: write numbers from 1 to 65535, ranges like "
                       "8000-8010, or all"},
    {"PPSHIM_PORTS=0-10", "PPSHIM_PORTS=0-10: nothing listens on port 0: write numbers from 1 to 65535, ranges like "
                          "8000-8010, or all"},
    {"PPSHIM_PORTS=8010-8000", "PPSHIM_PORTS=8010-8000: the range 8010-8000 is upside down: write 8000-8010"},
    {"PPSHIM_PORTS=all,3306", "PPSHIM_PORTS=all,3306: all stands alone: write all, or the ports"},
    {"PPSHIM_TIMEOUT=", "PPSHIM_TIMEOUT=: set but empty: write a value like 3s, or leave it unset"},
    {"PPSHIM_TIMEOUT=3", "PPSHIM_TIMEOUT=3: a bare number has no unit: write 3s"},
    {"PPSHIM_TIMEOUT=30", "PPSHIM_TIMEOUT=30: a bare number has no unit: write 30s"},
    {"PPSHIM_TIMEOUT=500", "PPSHIM_TIMEOUT=500: a bare number has no unit: write 500ms"},
    {"PPSHIM_TIMEOUT=0", "PPSHIM_TIMEOUT=0: a bare number has no unit: write 3s"},
    {"PPSHIM_TIMEOUT=80", "PPSHIM_TIMEOUT=80: a bare number has no unit: write 3s"},
    {"PPSHIM_TIMEOUT=3m", "PPSHIM_TIMEOUT=3m" TIME},
    {"PPSHIM_TIMEOUT=3.5s", "PPSHIM_TIMEOUT=3.5s" TIME},
    {"PPSHIM_TIMEOUT=-3s", "PPSHIM_TIMEOUT=-3s" TIME},
    {"PPSHIM_TIMEOUT=03s", "PPSHIM_TIMEOUT=03s" TIME},
    {"PPSHIM_TIMEOUT=3 s", "PPSHIM_TIMEOUT=3 s" TIME},
    {"PPSHIM_TIMEOUT=s", "PPSHIM_TIMEOUT=s" TIME},
    {"PPSHIM_TIMEOUT=99999999999999999999s", "PPSHIM_TIMEOUT=99999999999999999999s" TIME},
    {"PPSHIM_TIMEOUT=99ms", "PPSHIM_TIMEOUT=99ms: too short: 100ms is the least"},
    {"PPSHIM_TIMEOUT=0s", "PPSHIM_TIMEOUT=0s: too short: 100ms is the least"},
    {"PPSHIM_TIMEOUT=61s", "PPSHIM_TIMEOUT=61s: too long: 60s is the most"},
    {"PPSHIM_TIMEOUT=60001ms", "PPSHIM_TIMEOUT=60001ms: too long: 60s is the most"},
    {"PPSHIM_VERSIONS=", "PPSHIM_VERSIONS=: set but empty: write a value like 1,2, or leave it unset"},
    {"PPSHIM_VERSIONS=,", "PPSHIM_VERSIONS=,: no version in it: write 1, 2 or 1,2"},
    {"PPSHIM_VERSIONS=3", "PPSHIM_VERSIONS=3: versions are 1 and 2: write 1, 2 or 1,2"},
    {"PPSHIM_VERSIONS=v1", "PPSHIM_VERSIONS=v1: versions are 1 and 2: write 1, 2 or 1,2"},
    {"PPSHIM_VERSIONS=12", "PPSHIM_VERSIONS=12: versions are 1 and 2: write 1, 2 or 1,2"},
    {"PPSHIM_DEFER_ACCEPT=", "PPSHIM_DEFER_ACCEPT=: set but empty: write a value like off, or leave it unset"},
    {"PPSHIM_DEFER_ACCEPT=yes", "PPSHIM_DEFER_ACCEPT=yes: neither: write on or off"},
    {"PPSHIM_INHERITED=1", "PPSHIM_INHERITED=1: neither: write on or off"},
    {"PPSHIM_UNTRUSTED=", "PPSHIM_UNTRUSTED=: set but empty: write a value like pass, or leave it unset"},
    {"PPSHIM_LOCAL_ADDR=on", "PPSHIM_LOCAL_ADDR=on: neither: write socket or header"},
    {"PPSHIM_UNTRUSTED=Reject", "PPSHIM_UNTRUSTED=Reject: neither: write pass or reject"},
    {"PPSHIM_MAX_PENDING=", "PPSHIM_MAX_PENDING=: set but empty: write a value, or leave it unset"},
    {"PPSHIM_MAX_PENDING=0", "PPSHIM_MAX_PENDING=0" PENDING},
    {"PPSHIM_MAX_PENDING=-1", "PPSHIM_MAX_PENDING=-1" PENDING},
    {"PPSHIM_MAX_PENDING=1000001", "PPSHIM_MAX_PENDING=1000001" PENDING},
    {"PPSHIM_MAX_PENDING=10k", "PPSHIM_MAX_PENDING=10k" PENDING},
    {"PPSHIM_MAX_PENDING=unlimited", "PPSHIM_MAX_PENDING=unlimited" PENDING},
    {"PPSHIM_STATS=", "PPSHIM_STATS=: set but empty: write a value, or leave it unset"},
    {"PPSHIM_STATS=run/ppshim", "PPSHIM_STATS=run/ppshim: not an absolute path: write a directory, like /run/ppshim"},
    {"PPSHIM_STATS=on", "PPSHIM_STATS=on: not an absolute path: write a directory, like /run/ppshim"},
    {"PPSHIM_LOG=", "PPSHIM_LOG=: set but empty: write a value like auto:notice, or leave it unset"},
    {"PPSHIM_LOG=file", "PPSHIM_LOG=file" TARGET},
    {"PPSHIM_LOG=var/log/ppshim", "PPSHIM_LOG=var/log/ppshim" TARGET},
    {"PPSHIM_LOG=:debug", "PPSHIM_LOG=:debug" TARGET},
    {"PPSHIM_LOG=debug", "PPSHIM_LOG=debug: a level needs a target: write auto:debug"},
    {"PPSHIM_LOG=stderr:warn", "PPSHIM_LOG=stderr:warn: no such level: write stderr:error, :notice, :info or :debug"},
    {"PPSHIM_LOG=syslog:", "PPSHIM_LOG=syslog:: no such level: write syslog:error, :notice, :info or :debug"},
    {"PPSHIM_LOG=/var/log/", "PPSHIM_LOG=/var/log/: a directory: write the path of a file"},
    {"PPSHIM_LOG=/:debug", "PPSHIM_LOG=/:debug: a directory: write the path of a file"},
    {"PPSHIM_LOG_TLVS=", "PPSHIM_LOG_TLVS=: set but empty: write a value, or leave it unset"},
    {"PPSHIM_LOG_TLVS=,", "PPSHIM_LOG_TLVS=,: no type in it: write them like 0xEA,0xE0"},
    {"PPSHIM_LOG_TLVS=0xEA,234", "PPSHIM_LOG_TLVS=0xEA,234: 234" TYPE},
    {"PPSHIM_LOG_TLVS=EA", "PPSHIM_LOG_TLVS=EA: EA" TYPE},
    {"PPSHIM_LOG_TLVS=0x", "PPSHIM_LOG_TLVS=0x: 0x" TYPE},
    {"PPSHIM_LOG_TLVS=0x1EA", "PPSHIM_LOG_TLVS=0x1EA: 0x1EA" TYPE},
    {"PPSHIM_LOG_TLVS=0xG", "PPSHIM_LOG_TLVS=0xG: 0xG" TYPE},
    {"PPSHIM_JOURNAL=", "PPSHIM_JOURNAL=: set but empty: write a value, or leave it unset"},
    {"PPSHIM_JOURNAL=on", "PPSHIM_JOURNAL=on: not an absolute path: write one like /run/ppshim/journal.sock"},
};

START_TEST(a_bad_value_is_refused_with_what_would_be_right)
{
    ck_assert(!read_one(refusals[_i].variable));
    ck_assert_str_eq(error, refusals[_i].error);
}
END_TEST

START_TEST(a_bad_setting_is_an_error_also_while_the_shim_is_off)
{
    ck_assert(!read_env((const char *const[VARIABLES]){"PPSHIM_TRUST=none", "PPSHIM_TIMEOUT=3"}));
    ck_assert_str_eq(error, "PPSHIM_TIMEOUT=3: a bare number has no unit: write 3s");
    ck_assert(!read_env((const char *const[VARIABLES]){"PPSHIM_TRUST=none", "PPSHIM_CLIENT_DENY=x"}));
    ck_assert_str_eq(error, "PPSHIM_CLIENT_DENY=x: write an address or a CIDR, names are not looked up");
}
END_TEST

START_TEST(an_address_in_trust_and_header_optional_is_an_error)
{
    ck_assert(
        !read_env((const char *const[VARIABLES]){"PPSHIM_TRUST=10.0.0.0/8", "PPSHIM_HEADER_OPTIONAL=10.5.0.0/16"}));
    ck_assert_str_eq(error,
                     "PPSHIM_HEADER_OPTIONAL=10.5.0.0/16: 10.5.0.0 is in PPSHIM_TRUST as well: take it out of one "
                     "of the two, with !10.5.0.0 for example");
    ck_assert(read_env(
        (const char *const[VARIABLES]){"PPSHIM_TRUST=10.0.0.0/8,!10.5.0.0/16", "PPSHIM_HEADER_OPTIONAL=10.5.0.0/16"}));
}
END_TEST

START_TEST(a_conflict_that_a_file_may_settle_is_left_to_the_load)
{
    ck_assert(read_env(
        (const char *const[VARIABLES]){"PPSHIM_TRUST=10.0.0.0/8,@/exclusions", "PPSHIM_HEADER_OPTIONAL=10.5.0.0/16"}));
}
END_TEST

/* --- names --- */

static const struct {
    const char *variable, *error;
} strangers[] = {
    {"PPSHIM_TURST=10.0.0.0/8", "PPSHIM_TURST=10.0.0.0/8: no such setting: the nearest is PPSHIM_TRUST"},
    {"PPSHIM_TRUSTED=10.0.0.0/8", "PPSHIM_TRUSTED=10.0.0.0/8: no such setting: the nearest is PPSHIM_TRUST"},
    {"PPSHIM_Trust=10.0.0.0/8", "PPSHIM_Trust=10.0.0.0/8: no such setting: the nearest is PPSHIM_TRUST"},
    {"PPSHIM_timeout=3s", "PPSHIM_timeout=3s: no such setting: the nearest is PPSHIM_TIMEOUT"},
    {"PPSHIM_PORT=3306", "PPSHIM_PORT=3306: no such setting: the nearest is PPSHIM_PORTS"},
    {"PPSHIM_VERSION=2", "PPSHIM_VERSION=2: no such setting: the nearest is PPSHIM_VERSIONS"},
    {"PPSHIM_UNTRUST=reject", "PPSHIM_UNTRUST=reject: no such setting: the nearest is PPSHIM_UNTRUSTED"},
    {"PPSHIM_OPTIONAL=10.0.0.1", "PPSHIM_OPTIONAL=10.0.0.1: no such setting: the nearest is PPSHIM_HEADER_OPTIONAL"},
    {"PPSHIM_CLIENTS_ALLOW=1", "PPSHIM_CLIENTS_ALLOW=1: no such setting: the nearest is PPSHIM_CLIENT_ALLOW"},
    {"PPSHIM_TIME_OUT=3s", "PPSHIM_TIME_OUT=3s: no such setting: the nearest is PPSHIM_TIMEOUT"},
    {"PPSHIM_MAXPENDING=7", "PPSHIM_MAXPENDING=7: no such setting: the nearest is PPSHIM_MAX_PENDING"},
    {"PPSHIM_DEFER=on", "PPSHIM_DEFER=on: no such setting: the nearest is PPSHIM_DEFER_ACCEPT"},
    {"PPSHIM_LOGS=auto", "PPSHIM_LOGS=auto: no such setting: the nearest is PPSHIM_LOG"},
    {"PPSHIM_=1", "PPSHIM_=1: no such setting: the nearest is PPSHIM_LOG"},
    {"PPSHIM_X", "PPSHIM_X=: no such setting: the nearest is PPSHIM_LOG"},
    {"PPSHIM_PORT_=1", "accepted"},
};

START_TEST(an_unknown_name_is_an_error_that_names_the_nearest)
{
    ck_assert_int_eq(read_one(strangers[_i].variable), strcmp(strangers[_i].error, "accepted") == 0);
    ck_assert_str_eq(error, strangers[_i].error);
}
END_TEST

START_TEST(an_unknown_name_is_an_error_whatever_else_is_right)
{
    ck_assert(!read_env((const char *const[VARIABLES]){"PPSHIM_TRUST=10.0.0.0/8", "PPSHIM_CLIENT_DENNY=192.0.2.1"}));
    ck_assert_str_eq(error, "PPSHIM_CLIENT_DENNY=192.0.2.1: no such setting: the nearest is PPSHIM_CLIENT_DENY");
}
END_TEST

/* --- hostile values --- */

static const char *const names[] = {
#define X(name, text, values, dflt, meaning) text,
    PPS_SETTINGS(X)
#undef X
        "PPSHIM_UNKNOWN",
    "PPSHIM_NEW\nLINE",
};
enum { NAMES = sizeof names / sizeof *names };

static const char *const hostile[] = {
    "\n",      "a\nb", "10.0.0.1\n\n!\n", "\x1b[2J\r\n", "\xff\xfe\x80", "%s%s%n", "/\n:nolevel\n/",
    "unix:\n", "@\n",  "@/a/\nb,x\ny",    "none,\n",     "1-\n2",
};

static void is_one_clean_line(void)
{
    size_t length = strlen(error);
    bool clean = length && length < PPS_ERROR_TEXT;
    for (char *p = error; *p; p++)
        clean &= *p >= ' ' && *p < 0x7f;
    ck_assert_msg(clean, "%s", error);
}

START_TEST(no_value_puts_a_control_byte_into_an_error)
{
    char variable[200];
    for (unsigned i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        snprintf(variable, sizeof variable, "%s=%s", names[_i], hostile[i]);
        if (!read_one(variable))
            is_one_clean_line();
    }
}
END_TEST

START_TEST(a_long_value_is_cut_and_the_advice_is_not)
{
    static const char fill[] = {'x', '1', '.', '\n', '@', '/', ',', ' ', '\x80', '"'};
    char *variable = malloc(100000);
    for (unsigned i = 0; i < sizeof fill; i++) {
        int n = snprintf(variable, 100, "%s=", names[_i]);
        memset(variable + n, fill[i], 90000);
        variable[n + 90000] = 0;
        if (read_one(variable))
            continue;
        is_one_clean_line();
        ck_assert_msg(strlen(error) < 400, "%s", error);
        ck_assert_msg(strcmp(error + strlen(error) - 3, "...") != 0, "%s", error);
    }
    free(variable);
}
END_TEST

START_TEST(a_long_name_is_cut)
{
    char *variable = malloc(100000);
    memset(variable, 'A', 99990);
    memcpy(variable, "PPSHIM_", 7);
    strcpy(variable + 99990, "=1");
    ck_assert(!read_one(variable));
    is_one_clean_line();
    ck_assert_ptr_nonnull(strstr(error, "AAA...=1: no such setting: the nearest is PPSHIM_"));
    free(variable);
}
END_TEST

#define COUNT(table) (int)(sizeof table / sizeof *table)

static TCase *accepted(void)
{
    TCase *t = tcase_create("accepted");
    tcase_add_test(t, without_settings_the_shim_is_off_and_every_default_holds);
    tcase_add_test(t, list_texts_outlive_an_environment_that_is_overwritten);
    tcase_add_loop_test(t, trust_none_turns_the_shim_off, 0, COUNT(offs));
    tcase_add_test(t, header_optional_alone_turns_the_shim_on);
    tcase_add_test(t, trust_none_wins_over_header_optional);
    tcase_add_loop_test(t, any_other_setting_without_either_list_is_an_error, 0, PPS_SET_COUNT - 2);
    tcase_add_test(t, the_first_of_two_variables_of_one_name_wins);
    tcase_add_loop_test(t, what_kubernetes_makes_of_a_service_called_ppshim_is_let_be, 0, COUNT(foreign));
    tcase_add_loop_test(t, a_timeout_has_a_unit, 0, COUNT(timeouts));
    tcase_add_loop_test(t, ports_are_numbers_ranges_or_all, 0, COUNT(ports));
    tcase_add_loop_test(t, versions_are_one_two_or_both, 0, COUNT(versions));
    tcase_add_test(t, switches_have_two_words);
    tcase_add_test(t, shim_that_is_off_does_not_tell_local_addresses);
    tcase_add_test(t, max_pending_is_one_to_a_million);
    tcase_add_test(t, log_tlvs_are_types_in_hexadecimal);
    tcase_add_test(t, a_journals_path_fits_a_sockets_address);
    tcase_add_loop_test(t, log_is_a_target_and_perhaps_a_level, 0, COUNT(logs));
    return t;
}

static TCase *refused(void)
{
    TCase *t = tcase_create("refused");
    tcase_add_loop_test(t, a_bad_value_is_refused_with_what_would_be_right, 0, COUNT(refusals));
    tcase_add_test(t, a_bad_setting_is_an_error_also_while_the_shim_is_off);
    tcase_add_test(t, an_address_in_trust_and_header_optional_is_an_error);
    tcase_add_test(t, a_conflict_that_a_file_may_settle_is_left_to_the_load);
    tcase_add_loop_test(t, an_unknown_name_is_an_error_that_names_the_nearest, 0, COUNT(strangers));
    tcase_add_test(t, an_unknown_name_is_an_error_whatever_else_is_right);
    tcase_add_loop_test(t, no_value_puts_a_control_byte_into_an_error, 0, NAMES);
    tcase_add_loop_test(t, a_long_value_is_cut_and_the_advice_is_not, 0, NAMES);
    tcase_add_test(t, a_long_name_is_cut);
    return t;
}

Suite *suite_config(void)
{
    Suite *s = suite_create("config");
    suite_add_tcase(s, accepted());
    suite_add_tcase(s, refused());
    return s;
}
