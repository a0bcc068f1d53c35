/* SPDX-License-Identifier: MIT
 *
 * deadline.h: points in time on CLOCK_MONOTONIC, in nanoseconds. Pure but for reading the clock (vDSO).
 */
#ifndef PPSHIM_DEADLINE_H
#define PPSHIM_DEADLINE_H

#include <stdint.h>
#include <time.h>

#define PPS_NEVER UINT64_MAX
#define PPS_SECOND UINT64_C(1000000000)

static inline uint64_t pps_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * PPS_SECOND + (uint64_t)t.tv_nsec;
}

/* What time it is: nanoseconds of CLOCK_REALTIME. To be told, never a deadline. */
static inline uint64_t pps_wall_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * PPS_SECOND + (uint64_t)t.tv_nsec;
}

/* A timeout that the kernel would refuse (negative, or too many nanoseconds) is PPS_NEVER: the kernel has judged it. */
static inline uint64_t pps_deadline_after(const struct timespec *t)
{
    if (!t || t->tv_sec < 0 || t->tv_sec > INT32_MAX)
        return PPS_NEVER;
    return pps_now() + (uint64_t)t->tv_sec * PPS_SECOND + (uint64_t)t->tv_nsec;
}

/* PPS_NEVER stays PPS_NEVER. */
static inline uint64_t pps_time_left(uint64_t deadline)
{
    uint64_t now = deadline == PPS_NEVER ? 0 : pps_now();
    return deadline > now ? deadline - now : 0;
}

static inline struct timespec pps_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / PPS_SECOND), .tv_nsec = (long)(ns % PPS_SECOND)};
}

/* For poll and epoll_wait: rounded up, so that nobody wakes before time; -1 for ever. */
static inline int pps_milliseconds(uint64_t left)
{
    if (left == PPS_NEVER)
        return -1;
    uint64_t ms = (left + 999999) / 1000000;
    return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

#endif
