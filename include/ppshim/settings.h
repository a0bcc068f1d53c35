/* SPDX-License-Identifier: MIT
 *
 * settings.h: the name, default and one-line meaning of every setting. The manual page and --help are checked against
 * this table by a test; config.c knows names and defaults from here alone.
 */
#ifndef PPSHIM_SETTINGS_H
#define PPSHIM_SETTINGS_H

/* X(constant, name, values, default, meaning) */
#define PPS_SETTINGS(X)                                                                                                \
    X(TRUST, "PPSHIM_TRUST", "LIST", "", "who must send a PROXY header; none: off on purpose")                         \
    X(HEADER_OPTIONAL, "PPSHIM_HEADER_OPTIONAL", "LIST", "", "who may send a header or not")                           \
    X(PORTS, "PPSHIM_PORTS", "PORTS", "all", "local ports governed")                                                   \
    X(TIMEOUT, "PPSHIM_TIMEOUT", "TIME", "3s", "how long a header may take")                                           \
    X(VERSIONS, "PPSHIM_VERSIONS", "1 2 1,2", "1,2", "header versions accepted")                                       \
    X(DEFER_ACCEPT, "PPSHIM_DEFER_ACCEPT", "off on", "off", "TCP_DEFER_ACCEPT on governed listeners")                  \
    X(UNTRUSTED, "PPSHIM_UNTRUSTED", "pass reject", "pass", "what to do with peers in no list")                        \
    X(CLIENT_ALLOW, "PPSHIM_CLIENT_ALLOW", "LIST", "", "real clients let in; unset: everyone")                         \
    X(CLIENT_DENY, "PPSHIM_CLIENT_DENY", "LIST", "", "real clients kept out; wins over allow")                         \
    X(INHERITED, "PPSHIM_INHERITED", "off on", "off", "take the header of a connection the process was started with")  \
    X(LOCAL_ADDR, "PPSHIM_LOCAL_ADDR", "socket header", "socket",                                                      \
      "own address of connections: the socket's or the header's destination")                                          \
    X(MAX_PENDING, "PPSHIM_MAX_PENDING", "NUMBER", "", "most connections waiting for a header per process")            \
    X(CLIENT_RATE, "PPSHIM_CLIENT_RATE", "NUMBER/TIME", "", "new connections that a client may make in a time")        \
    X(CLIENT_MAX, "PPSHIM_CLIENT_MAX", "NUMBER", "", "connections that a client may have open at once")                \
    X(LIMIT_EXEMPT, "PPSHIM_LIMIT_EXEMPT", "LIST", "", "clients that the two limits leave alone")                      \
    X(STATS, "PPSHIM_STATS", "DIRECTORY", "", "where counters are kept, for ppshim status")                            \
    X(LOG, "PPSHIM_LOG", "TARGET[:LEVEL]", "auto:notice", "where log lines go, and which")                             \
    X(LOG_TLVS, "PPSHIM_LOG_TLVS", "TYPES", "", "types of TLVs whose bytes are logged as they are")                    \
    X(JOURNAL, "PPSHIM_JOURNAL", "PATH", "", "socket of ppshim journal, which is told of each connection")

enum pps_setting {
#define X(name, text, values, dflt, meaning) PPS_SET_##name,
    PPS_SETTINGS(X)
#undef X
        PPS_SET_COUNT
};

/* The table by number (config.c). */
extern const struct pps_setting_row {
    const char *name, *values, *dflt, *meaning;
} pps_settings[PPS_SET_COUNT];

#endif
