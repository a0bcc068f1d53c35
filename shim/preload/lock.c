/* SPDX-License-Identifier: MIT
 *
 * lock.c: see lock.h.
 */
#include "lock.h"
#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void pps_lock_enter(struct pps_lock *lock)
{
    pps_quiet_begin(&lock->quiet);
    pthread_mutex_lock(&mutex);
}

void pps_lock_leave(const struct pps_lock *lock)
{
    pthread_mutex_unlock(&mutex);
    pps_quiet_end(&lock->quiet);
}

void pps_lock_after_fork(void)
{
    pthread_mutex_init(&mutex, NULL);
}
