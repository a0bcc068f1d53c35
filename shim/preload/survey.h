/* SPDX-License-Identifier: MIT
 *
 * survey.h: what a wait has to mind besides what the server asked for: late connections to watch, something that is due
 * already, silent peers.
 *
 * Look-ups only: no lock, no system call but where an epoll holds a listener that was never met. Any thread and signal
 * handler.
 */
#ifndef PPSHIM_SURVEY_H
#define PPSHIM_SURVEY_H

#include "interest.h"
#include "late.h"
#include <stdbool.h>

struct pps_survey {
    struct pps_late late;
    bool due;    /* something is to be told that the kernel will not tell: do not sleep */
    bool silent; /* peers are parked: an event may come to nothing */
};

void pps_survey_begin(struct pps_survey *s);
void pps_survey_listener(struct pps_survey *s, const struct pps_listener *l);
/* All that an epoll holds, and the epolls inside it. */
void pps_survey_epoll(struct pps_survey *s, int epfd);

/* Whether a registration is to be told, although the kernel may not say so. */
bool pps_survey_is_due(const struct pps_interest *i);
bool pps_survey_epoll_is_due(int epfd);

/* The whole wait's sleep: until its deadline (deadline.h), or until something is due, or over. */
uint64_t pps_survey_sleep(const struct pps_survey *s, uint64_t deadline);

#endif
