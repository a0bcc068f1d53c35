/* SPDX-License-Identifier: MIT
 *
 * stats.h: the counters of one process, as they lie in its file in the directory of PPSHIM_STATS. The one table of
 * counters: the library counts by it, the tool prints by it, tests and documentation are held against it.
 *
 * The file is named PID.NANOSECONDS: when it was made, on CLOCK_BOOTTIME, so that no later process of that number is
 * taken for its own. It names its counters itself: a tool of another version reads what it knows, by these names.
 */
#ifndef PPSHIM_STATS_H
#define PPSHIM_STATS_H

#include <ppshim/reason.h>
#include <ppshim/unix_name.h>
#include <stdatomic.h>
#include <stdint.h>

/* X(constant, name, type, unit, help): the metrics, ppshim_NAME. Those of type COUNTER have _total behind it. The first
   two are what the reader makes of the files it finds. */
#define PPS_STATS_METRICS(X)                                                                                           \
    X(PROCESSES, "processes", GAUGE, "", "Processes that are alive and have accepted connections")                     \
    X(ENDED, "processes_ended", COUNTER, "", "Processes that accepted connections and have ended")                     \
    X(CONNECTIONS, "connections", COUNTER, "", "Connections taken from the kernel on governed listeners")              \
    X(FOUND, "proxy_proto_found", COUNTER, "", "PROXY headers that were valid, believed and taken off")                \
    X(NOT_FOUND_ALLOWED, "proxy_proto_not_found_allowed", COUNTER, "",                                                 \
      "Connections handed over without a header, of peers that need not send one")                                     \
    X(UNTRUSTED_PASSED, "untrusted_passed", COUNTER, "", "Connections handed over as they are, of peers in no list")   \
    X(PROBES, "probes", COUNTER, "", "Peers that connected and left without a byte, as health checks do")              \
    X(REJECTED, "rejected", COUNTER, "", "Connections closed before the server heard of them")                         \
    X(WOULD_REJECT, "would_reject", COUNTER, "", "Connections let in that a limit with dry-run would have refused")    \
    X(PARKS, "parks", COUNTER, "", "Connections put aside, because their header did not come at once")                 \
    X(PARKED, "parked", GAUGE, "", "Connections that are put aside now, and wait for their header")                    \
    X(PARKED_MAX, "parked_max", GAUGE, "", "Most connections that one process had put aside at once")                  \
    X(WAIT, "header_wait_seconds", HISTOGRAM, "seconds", "How long headers took that were taken; 0: there at once")

/* X(constant, key, metric, labels): a counter each. The key is its name in the file. */
#define PPS_STATS(X)                                                                                                   \
    X(CONNECTIONS, "connections", CONNECTIONS, "")                                                                     \
    X(V1_INET, "found.v1.inet", FOUND, "version=\"1\",family=\"inet\"")                                                \
    X(V1_INET6, "found.v1.inet6", FOUND, "version=\"1\",family=\"inet6\"")                                             \
    X(V1_UNKNOWN, "found.v1.unknown", FOUND, "version=\"1\",family=\"unknown\"")                                       \
    X(V2_INET, "found.v2.inet", FOUND, "version=\"2\",family=\"inet\"")                                                \
    X(V2_INET6, "found.v2.inet6", FOUND, "version=\"2\",family=\"inet6\"")                                             \
    X(V2_UNKNOWN, "found.v2.unknown", FOUND, "version=\"2\",family=\"unknown\"")                                       \
    X(V2_LOCAL, "found.v2.local", FOUND, "version=\"2\",family=\"local\"")                                             \
    X(NOT_FOUND_ALLOWED, "not-found-allowed", NOT_FOUND_ALLOWED, "")                                                   \
    X(UNTRUSTED_PASSED, "untrusted-passed", UNTRUSTED_PASSED, "")                                                      \
    X(PROBES, "probes", PROBES, "")                                                                                    \
    X(WOULD_CLIENT_RATE, "would-reject.client-rate", WOULD_REJECT, "reason=\"client-rate\"")                           \
    X(WOULD_CLIENT_MAX, "would-reject.client-max", WOULD_REJECT, "reason=\"client-max\"")                              \
    X(PARKS, "parks", PARKS, "")                                                                                       \
    X(PARKED, "parked", PARKED, "")                                                                                    \
    X(PARKED_MAX, "parked-max", PARKED_MAX, "")                                                                        \
    X(WAIT_SUM, "wait-ns", WAIT, "")

/* X(le, nanoseconds): behind these, one for each range of header waits, each with what is beyond the range before it.
 */
#define PPS_STATS_WAITS(X)                                                                                             \
    X("0.0", 0)                                                                                                        \
    X("0.001", 1000000)                                                                                                \
    X("0.005", 5000000)                                                                                                \
    X("0.02", 20000000)                                                                                                \
    X("0.1", 100000000)                                                                                                \
    X("0.5", 500000000)                                                                                                \
    X("1.0", 1000000000)                                                                                               \
    X("3.0", 3000000000)                                                                                               \
    X("10.0", 10000000000)                                                                                             \
    X("+Inf", UINT64_MAX)

/* And behind those one for each reason. */
enum pps_stat {
#define X(constant, key, metric, labels) PPS_STAT_##constant,
    PPS_STATS(X)
#undef X
        PPS_STAT_WAITS,
#define X(le, nanoseconds) +1
    PPS_STAT_REJECTED = PPS_STAT_WAITS PPS_STATS_WAITS(X), /* and the enum pps_reason */
#undef X
    PPS_STAT_COUNT = PPS_STAT_REJECTED + PPS_REASON_COUNT
};

#define PPS_STATS_MAGIC UINT64_C(0x3174617473707070) /* "pppstat1", the layout's version in it */
#define PPS_STATS_LISTENERS 8                        /* further ones are counted as one, the last */
#define PPS_STATS_OTHER "other"                      /* its name */

struct pps_stats_listener {
    _Atomic uint32_t named;                    /* the name is there; nothing is counted before */
    char name[PPS_UNIX_NAME_TEXT + 8];         /* ":3306" or "unix:/run/x.sock", not escaped; a NUL behind it */
    _Atomic uint64_t counters[PPS_STAT_COUNT]; /* in the order of `keys` */
};

/* Written once but for the listeners. Texts that are not known are empty. */
struct pps_stats_head {
    _Atomic uint64_t magic;                                      /* last of all: the rest is there */
    uint32_t counters, listeners, listener_size, first_listener; /* how many, and bytes */
    uint32_t pid;
    uint64_t made;          /* CLOCK_BOOTTIME, nanoseconds */
    char version[16];       /* of the library */
    char pid_namespace[32]; /* "pid:[4026531836]": where `pid` counts */
    char program[128];      /* the path of what it runs, cut at the front if it is longer; or what it calls itself */
    char unit[128];         /* the systemd unit it was in: "mariadb.service" */
    char keys[2048];        /* each with a NUL behind it */
};

struct pps_stats_file {
    struct pps_stats_head head;
    struct pps_stats_listener listener[PPS_STATS_LISTENERS];
};
_Static_assert(sizeof(struct pps_stats_file) <= 8192, "two pages");

/* Of the library, once, from its constructor; NULL: nothing is to be counted. The text lives for ever. */
void pps_stats_start(const char *directory);
/* In the child of a fork. */
void pps_stats_after_fork(void);

#endif
