/* SPDX-License-Identifier: MIT
 *
 * fd_table.c: see fd_table.h. Zero pages until used: an image that listens to nothing touches none of it.
 */
#include "fd_table.h"

_Atomic uint16_t pps_fd_words[PPS_FD_MAX];
static _Atomic int end_of_known;

void pps_fd_mark(int fd, unsigned word)
{
    if ((unsigned)fd >= PPS_FD_MAX || pps_fd_word(fd) == word)
        return;
    atomic_store_explicit(&pps_fd_words[fd], (uint16_t)word, memory_order_release);
    int end = atomic_load_explicit(&end_of_known, memory_order_relaxed);
    while (word != PPS_FD_UNKNOWN && end <= fd && !atomic_compare_exchange_weak(&end_of_known, &end, fd + 1))
        ;
}

int pps_fd_end(void)
{
    return atomic_load_explicit(&end_of_known, memory_order_relaxed);
}
