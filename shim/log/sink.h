/* SPDX-License-Identifier: MIT
 *
 * sink.h: brings whole lines to where the operator looks; log.h says what must be true of it.
 */
#ifndef PPSHIM_SINK_H
#define PPSHIM_SINK_H

#include <ppshim/config.h>
#include <ppshim/line.h>

/* Looks at fd 2. `config` may be NULL: then only last words are to be expected. */
void pps_sink_start(const struct pps_config *config, const char *journal_stream);

/* Where the operator chose; if it cannot go there, where `auto` puts it. */
void pps_sink_write(enum pps_log_level level, const struct pps_line *l);

/* To fd 2, if that is the server's own log, and else to syslog. */
void pps_sink_write_last(const struct pps_line *l);

#endif
