/* SPDX-License-Identifier: MIT
 *
 * forked.h: what must be true in the child of a fork.
 */
#ifndef FORKED_H
#define FORKED_H

#include <stdbool.h>

/* Begins process.h, once, with everything that the library does after a fork. */
void forked_start(void);

/* What `work` says in the child of a fork; it must not assert. */
bool in_child(bool (*work)(void));
/* The same of a fork by a raw system call, which nobody has noticed yet when `work` begins. */
bool in_raw_child(bool (*work)(void));

#endif
