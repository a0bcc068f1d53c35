/* SPDX-License-Identifier: MIT
 *
 * guard_page.h: test input that ends where memory ends, so that one byte read too far is a crash, also for code no
 * sanitizer looks into.
 */
#ifndef GUARD_PAGE_H
#define GUARD_PAGE_H

#include <stddef.h>
#include <stdint.h>

#define GUARD_ROOM (128 * 1024) /* bytes that may be used before the guard page */

/* The first unreadable byte. What stands before it is shared by all callers. */
uint8_t *guard_page(void);

/* A copy of the bytes that ends at the guard page; valid until the next call. */
uint8_t *guard_copy(const void *bytes, size_t size);

#endif
