/* SPDX-License-Identifier: MIT
 *
 * survey.c: see survey.h.
 */
#include "survey.h"
#include "acquire.h"
#include "parked.h"
#include "usage.h"
#include <ppshim/deadline.h>

#define READABLE (EPOLLIN | EPOLLRDNORM)

void pps_survey_begin(struct pps_survey *s)
{
    pps_late_gather_none(&s->late);
    s->due = s->silent = false;
}

void pps_survey_listener(struct pps_survey *s, const struct pps_listener *l)
{
    pps_usage_visit(pps_usage_of(l));
    pps_late_gather(&s->late, l);
    s->silent |= pps_parked_count(l) != 0;
}

void pps_survey_epoll(struct pps_survey *s, int epfd)
{
    struct pps_interest i;
    unsigned cursor = 0;
    while (pps_interest_next(epfd, &cursor, &i)) {
        if (i.spent || !(i.events & READABLE))
            continue;
        s->due |= pps_survey_is_due(&i);
        if (i.listener.generation)
            pps_survey_listener(s, &i.listener);
        else
            pps_survey_epoll(s, i.fd); /* five deep at most, says the kernel */
    }
}

bool pps_survey_is_due(const struct pps_interest *i)
{
    if (i->spent || !(i->events & READABLE))
        return false;
    if (pps_interest_is_owed(i))
        return true;
    if (!i->listener.generation)
        return pps_survey_epoll_is_due(i->fd);
    return !(i->events & EPOLLET) && pps_acquire_is_held(&i->listener);
}

bool pps_survey_epoll_is_due(int epfd)
{
    struct pps_interest i;
    unsigned cursor = 0;
    while (pps_interest_next(epfd, &cursor, &i))
        if (pps_survey_is_due(&i))
            return true;
    return false;
}

uint64_t pps_survey_sleep(const struct pps_survey *s, uint64_t deadline)
{
    uint64_t until = pps_parked_due();
    if (s->due)
        return 0;
    until = s->late.until < until ? s->late.until : until;
    return pps_time_left(deadline < until ? deadline : until);
}
