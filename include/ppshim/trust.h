/* SPDX-License-Identifier: MIT
 *
 * trust.h: the lists in force (PPSHIM_TRUST, PPSHIM_HEADER_OPTIONAL, PPSHIM_CLIENT_ALLOW, PPSHIM_CLIENT_DENY,
 * PPSHIM_LIMIT_EXEMPT) and the files behind them.
 *
 * A list text holds entries separated by commas or white space: addresses and CIDRs as in cidr.h,
 * `unix:/path` or `unix:@name` for a listening AF_UNIX socket of the server's, whose peers then all belong to the list
 * (not in lists of clients, and not with `!`; 64 at most), names of clients as in name.h (in lists of clients alone,
 * and not with `!`), and `@/path/file`. A file's lines hold the same entries (no
 * further `@`), `#` begins a comment, lines may end in CRLF. Files are regular, 64 MiB at most, and 16 at most a list.
 * A list without an entry, or whose exclusions leave nothing, is an error, and so is a file without an entry: a file
 * that was emptied by mistake must not change who is trusted.
 *
 * Loaded once, when the process first governs a listener; reloaded when a file changed, by whichever thread notices.
 * Readers take no lock and are never blocked: a reload publishes a whole new struct and frees the old one only when no
 * reader can hold it. Safe in any thread, in signal handlers and after fork.
 */
#ifndef PPSHIM_TRUST_H
#define PPSHIM_TRUST_H

#include <ppshim/addr.h>
#include <ppshim/config.h>
#include <ppshim/name.h>
#include <ppshim/unix_name.h>
#include <stdbool.h>
#include <stddef.h>

enum pps_trust { PPS_UNTRUSTED, PPS_TRUSTED, PPS_OPTIONAL };

/* Checks the syntax of one list text without opening its files: what the constructor of an image that may never listen
   can afford. `setting` names the variable in the error. */
bool pps_trust_check(const char *setting, const char *text, char error[PPS_ERROR_TEXT]);

/* Whether two list texts, as far as that can be said without opening files, have no address in both. */
bool pps_trust_check_apart(const char *trust, const char *header_optional, char error[PPS_ERROR_TEXT]);

/* Reads the lists and their files. `config` must live for ever. Idempotent once it returned true. On failure false and
   one line in `error`: the caller stops the server. */
bool pps_trust_load(const struct pps_config *config, char error[PPS_ERROR_TEXT]);

/* Whether PPSHIM_TRUST or PPSHIM_HEADER_OPTIONAL has this listening socket, under this name or that of another path to
   it: *name is then the list's. Before a load the texts and files are looked through for that alone: a list that is
   wrong must not fail a process that listens to some other socket. */
bool pps_trust_names(const struct pps_config *config, struct pps_unix_name *name);

/*
 * Looks, at most once a second, whether a file changed, and reloads: all lists or none, since PPSHIM_TRUST and
 * PPSHIM_HEADER_OPTIONAL must fit each other. A broken or empty new file keeps the old lists and is told of once for
 * each change. A file written to within the last half second is left for a later look: its writer may not be done.
 * Returns true when there is something to tell the operator in `news` (one line): the caller logs it, as an error if
 * *failed. May change errno; is no cancellation point.
 */
bool pps_trust_refresh(char news[PPS_ERROR_TEXT], bool *failed);

/* Only after a successful load. */
enum pps_trust pps_trust_of(const struct pps_addr *peer);
/*
 * Whether the lists of clients let in whom the header names, by its source or by what its TLVs say (name.h). Deny wins.
 * Of a client that has no address there (UNKNOWN) names alone are judged: it is let in by an allow list that has
 * addresses, and by one of names alone if it says one of them. Not to be asked of LOCAL headers: they speak for no
 * client. Otherwise *name is by which name it was refused: of the deny list, or the first that an allow list could
 * have; left as it is where it was by address.
 */
bool pps_client_allowed(const struct pps_header *h, struct pps_name_text *name);
bool pps_client_exempt(const struct pps_addr *client); /* from limits */
/* What the peers of this listener are; its name as a list has it. */
enum pps_trust pps_trust_of_listener(const struct pps_unix_name *name);
/* Entries of PPSHIM_TRUST and PPSHIM_HEADER_OPTIONAL together, for the `active` line. */
size_t pps_trust_prefixes(void);

/* In a child of fork. */
void pps_trust_after_fork(void);

#endif
