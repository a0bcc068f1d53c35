/* SPDX-License-Identifier: MIT
 *
 * trust_internal.h: one list as trust_list.c reads it for trust.c, and the inside of trust.c for its unit tests.
 */
#ifndef PPSHIM_TRUST_INTERNAL_H
#define PPSHIM_TRUST_INTERNAL_H

#include <ppshim/cidr.h>
#include <ppshim/config.h>
#include <ppshim/name.h>
#include <ppshim/unix_name.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#define PPS_LIST_FILES_MAX 16
#define PPS_LIST_LISTENERS_MAX 64

/* What tells one content of a file from another without reading it. */
struct pps_stamp {
    int error; /* why it cannot be looked at; the rest is then 0 */
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtim, ctim;
};

struct pps_list_file {
    const char *path; /* in the list's text: no NUL behind it */
    size_t length;
    struct pps_stamp read; /* of the content the set has */
    struct pps_stamp seen; /* at the last look */
};

struct pps_list {
    const char *setting, *text; /* whoever reads it fills in these; both must live as long. The rest begins as zeros */
    struct pps_cidr_set set;
    struct pps_name_set names; /* of clients; in lists of clients alone */
    unsigned names_written;
    struct pps_list_file files[PPS_LIST_FILES_MAX];
    unsigned file_count;
    struct pps_unix_name listeners[PPS_LIST_LISTENERS_MAX]; /* of unix: entries, each once */
    unsigned listener_count, listeners_written;
    /* What pps_list_look found of some file: */
    bool changed; /* it is not as it was read */
    bool young;   /* it is not, and changed so recently that its writer may not be done */
    bool moved;   /* it is not as it was at the look before */
};

enum pps_list_verdict {
    PPS_LIST_GOOD,
    PPS_LIST_WRONG,   /* until somebody changes something */
    PPS_LIST_NOT_NOW, /* a file or memory cannot be had, which can pass by itself */
};

/* Reads the text and its files into the sets. On failure one line in `error`, and they are empty. Call it with signals
   blocked and cancellation off if there may be files: nothing else closes the descriptor it has open meanwhile. */
enum pps_list_verdict pps_list_read(struct pps_list *l, char error[PPS_ERROR_TEXT]);

/* Only the unix: entries of the text and its files, as far as they can be read; whatever is wrong is nobody's business
   yet. */
void pps_list_read_listeners(struct pps_list *l);

void pps_list_free(struct pps_list *l);

bool pps_list_has_listener(const struct pps_list *l, const struct pps_unix_name *name);

/* Entries that include somebody, as the operator wrote them. */
static inline size_t pps_list_entries(const struct pps_list *l)
{
    return l->set.prefixes + l->listeners_written + l->names_written;
}

/* Compares the files with what was read. Leaves the sets alone: others may be reading them. */
void pps_list_look(struct pps_list *l, unsigned settle_ms);

/* --- for unit tests --- */

/* pps_trust_refresh without the second between two looks; files written to in the last `settle_ms` are left alone. */
bool pps_trust_look(unsigned settle_ms, char news[PPS_ERROR_TEXT], bool *failed);

/* How many replaced lists wait for their last reader. */
size_t pps_trust_retired(void);

/* Back to before pps_trust_load. No other thread may be in this module. */
void pps_trust_forget(void);

#endif
