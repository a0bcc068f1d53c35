/* SPDX-License-Identifier: MIT
 *
 * config.h: the environment, read once into a struct that never changes afterwards.
 *
 * pps_config_read is pure but for reading the vector it is given and one private mapping for the copies of list texts
 * (servers overwrite their environment for setproctitle). It opens no file: lists in files belong to trust.h.
 */
#ifndef PPSHIM_CONFIG_H
#define PPSHIM_CONFIG_H

#include <ppshim/limit.h>
#include <ppshim/settings.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PPS_EXIT_CONFIG 78 /* EX_CONFIG of sysexits.h */

enum pps_log_target { PPS_LOG_AUTO, PPS_LOG_STDERR, PPS_LOG_SYSLOG, PPS_LOG_JOURNAL, PPS_LOG_FILE };
enum pps_log_level { PPS_LOG_ERROR, PPS_LOG_NOTICE, PPS_LOG_INFO, PPS_LOG_DEBUG };

struct pps_config {
    bool on; /* one of the two lists is set, and PPSHIM_TRUST is not `none` */
    /* List texts, syntax checked; NULL: not set, or the shim is off. */
    const char *trust, *header_optional, *client_allow, *client_deny, *limit_exempt;
    unsigned timeout_ms;      /* 100 to 60000 */
    bool version_accepted[3]; /* by version number; [0] unused */
    bool defer_accept;
    bool reject_untrusted;
    bool inherited;
    bool local_from_header; /* getsockname tells the header's destination; false if the shim is off */
    struct pps_limit client_rate, client_max;
    unsigned max_pending; /* 0: the default, computed at the first park */
    enum pps_log_target log_target;
    enum pps_log_level log_level;
    const char *journal;       /* a path that fits a sockaddr_un; NULL: none, or the shim is off */
    const char *log_path;      /* with PPS_LOG_FILE */
    uint8_t log_tlvs[256 / 8]; /* bit t % 8 of byte t / 8: a TLV of type t is logged as it is */
    const char *stats;         /* a directory; NULL: not set */
    uint32_t checksum;         /* of what was set, as it was written: equal settings, equal sums */
    bool every_port;           /* PPSHIM_PORTS=all, or not set */
    uint8_t ports[65536 / 8];  /* bit p % 8 of byte p / 8: port p is governed */
};

#define PPS_ERROR_TEXT 512

/*
 * Reads every PPSHIM_ variable of the NULL-terminated `env`. On success *out is complete. On failure false, and `error`
 * is one line "PPSHIM_TIMEOUT=3: a bare number has no unit: write 3s" (no newline, control bytes escaped, long values
 * cut with "..."). Names that begin with PPSHIM_ and are no setting are an error that names the nearest one, except
 * what Kubernetes makes for services called ppshim or ppshim-something: PPSHIM_[X_]PORT=tcp://..., PPSHIM_[X_]PORT_*,
 * PPSHIM_[X_]SERVICE_*. A setting that is set but empty is an error, and so is any without PPSHIM_TRUST or
 * PPSHIM_HEADER_OPTIONAL: it would have no effect. An off shim's settings are checked all the same.
 * The memory it maps is never freed.
 */
bool pps_config_read(char *const *env, struct pps_config *out, char error[PPS_ERROR_TEXT]);

/* PPSHIM_TIMEOUT in nanoseconds (deadline.h). */
static inline uint64_t pps_config_timeout(const struct pps_config *c)
{
    return (uint64_t)c->timeout_ms * 1000000;
}

static inline bool pps_config_logs_tlv(const struct pps_config *c, uint8_t type)
{
    return c->log_tlvs[type / 8] >> (type % 8) & 1;
}

static inline bool pps_config_governs(const struct pps_config *c, uint16_t port)
{
    return c->ports[port / 8] >> (port % 8) & 1;
}

#endif
