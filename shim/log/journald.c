/* SPDX-License-Identifier: MIT
 *
 * journald.c: see journald.h. Names of fields are upper-case letters, digits and underscores
 * (systemd.journal-fields(7)).
 */
#include "journald.h"
#include <string.h>

static const char *const severity[] = {"3", "5", "6", "7"}; /* syslog's, of enum pps_log_level */

static void put(struct pps_journald *out, const char *text, size_t length)
{
    if (length > sizeof out->bytes - out->length)
        return;
    memcpy(out->bytes + out->length, text, length);
    out->length += length;
}

static void put_text(struct pps_journald *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_name(struct pps_journald *out, const char *key, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char c = key[i];
        bool letter = c >= 'a' && c <= 'z', kept = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        put(out, (const char[]){(char)(letter ? c - 'a' + 'A' : kept ? c : '_')}, 1);
    }
}

/* PPSHIM_CLIENT=203.0.113.7 and PPSHIM_CLIENT_PORT=4711: the journal compares whole values. */
static void put_field(struct pps_journald *out, const struct pps_line *l, struct pps_slice key, const char *suffix,
                      struct pps_slice value)
{
    put_text(out, "PPSHIM_");
    put_name(out, l->text + key.at, key.length);
    put_text(out, suffix);
    put_text(out, "=");
    put(out, l->text + value.at, value.length);
    put_text(out, "\n");
}

static void put_message(struct pps_journald *out, const struct pps_line *l)
{
    size_t start = pps_line_message(l);
    put_text(out, "MESSAGE=");
    put(out, l->text + start, l->length - start); /* with its newline */
}

void pps_journald_from(struct pps_journald *out, enum pps_log_level level, const struct pps_line *l)
{
    out->length = 0;
    put_text(out, "SYSLOG_IDENTIFIER=ppshim\nPRIORITY=");
    put_text(out, severity[level]);
    put_text(out, "\n");
    put_message(out, l);
    if (l->event.length) {
        put_text(out, "PPSHIM_EVENT=");
        put(out, l->text + l->event.at, l->event.length);
        put_text(out, "\n");
    }
    for (unsigned i = 0; i < l->count; i++) {
        const struct pps_line_field *f = &l->fields[i];
        put_field(out, l, f->key, "", f->value);
        if (f->port.length)
            put_field(out, l, f->key, "_PORT", f->port);
    }
}
