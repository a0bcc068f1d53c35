/* SPDX-License-Identifier: MIT
 *
 * quiet.c: quiet.h for where there is no libc: no cancellation, and no handler of a Go program's comes back in here (a
 * handler makes none of the system calls that do), so that signals need not be held back.
 */
#include <ppshim/quiet.h>

void pps_quiet_is_given(bool is)
{
    (void)is;
}

void pps_quiet_begin(struct pps_quiet *q)
{
    q->blocked = false;
}

void pps_quiet_end(const struct pps_quiet *q)
{
    (void)q;
}
