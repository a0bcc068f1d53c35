/* SPDX-License-Identifier: MIT
 *
 * text.c: <string.h>, <stdlib.h> and <stdio.h> as far as the core needs them, for where there is no libc (calls.c).
 *
 * Plain loops: what is on a connection's way copies a few dozen bytes. No locale, no errno, no state.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- memory --- */

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    for (; size >= 8; size -= 8, t += 8, f += 8)
        __builtin_memcpy(t, f, 8);
    while (size--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t <= f || t >= f + size)
        return memcpy(to, from, size);
    while (size--)
        t[size] = f[size];
    return to;
}

void *memset(void *at, int value, size_t size)
{
    unsigned char *p = at;
    uint64_t eight = (unsigned char)value * UINT64_C(0x0101010101010101);
    for (; size >= 8; size -= 8, p += 8)
        __builtin_memcpy(p, &eight, 8);
    while (size--)
        *p++ = (unsigned char)value;
    return at;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a, *y = b;
    for (; size; size--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *at, int value, size_t size)
{
    const unsigned char *p = at;
    for (; size; size--, p++)
        if (*p == (unsigned char)value)
            return (void *)p;
    return NULL;
}

void *memmem(const void *in, size_t in_size, const void *wanted, size_t size)
{
    const unsigned char *p = in;
    for (; in_size >= size; p++, in_size--)
        if (memcmp(p, wanted, size) == 0)
            return (void *)p;
    return NULL;
}

/* What the compiler calls for __builtin_popcountll. */
int __popcountdi2(long n);
int __popcountdi2(long n)
{
    int bits = 0;
    for (unsigned long left = (unsigned long)n; left; left &= left - 1)
        bits++;
    return bits;
}

/* --- strings --- */

size_t strlen(const char *s)
{
    const char *end = s;
    while (*end)
        end++;
    return (size_t)(end - s);
}

size_t strnlen(const char *s, size_t most)
{
    size_t n = 0;
    while (n < most && s[n])
        n++;
    return n;
}

int strncmp(const char *a, const char *b, size_t most)
{
    for (; most; most--, a++, b++)
        if (*a != *b || !*a)
            return (unsigned char)*a - (unsigned char)*b;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++)
        if (!*s)
            return NULL;
    return (char *)s;
}

char *strrchr(const char *s, int c)
{
    const char *last = NULL;
    do
        last = *s == (char)c ? s : last;
    while (*s++);
    return (char *)last;
}

char *strstr(const char *s, const char *wanted)
{
    return memmem(s, strlen(s), wanted, strlen(wanted));
}

static size_t span(const char *s, const char *of, bool inside)
{
    size_t n = 0;
    while (s[n] && (strchr(of, s[n]) != NULL) == inside)
        n++;
    return n;
}

size_t strspn(const char *s, const char *of)
{
    return span(s, of, true);
}

size_t strcspn(const char *s, const char *of)
{
    return span(s, of, false);
}

char *strcpy(char *restrict to, const char *restrict from)
{
    return memcpy(to, from, strlen(from) + 1);
}

char *stpcpy(char *restrict to, const char *restrict from)
{
    size_t length = strlen(from);
    memcpy(to, from, length + 1);
    return to + length;
}

/* --- numbers --- */

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10 : 99;
}

unsigned long long strtoull(const char *restrict s, char **restrict end, int base)
{
    unsigned long long n = 0;
    while (*s == ' ' || *s == '\t')
        s++;
    for (; digit(*s) < (unsigned)base; s++)
        n = n * (unsigned)base + digit(*s);
    if (end)
        *end = (char *)s;
    return n;
}

unsigned long strtoul(const char *restrict s, char **restrict end, int base)
{
    return strtoull(s, end, base);
}

long strtol(const char *restrict s, char **restrict end, int base)
{
    return *s == '-' ? -(long)strtoull(s + 1, end, base) : (long)strtoull(s, end, base);
}

/* --- printf: %s %.*s %d %u %x %c %%, with l, ll and z --- */

struct print {
    char *at;
    size_t room, length; /* length: what it would take */
};

static void put(struct print *p, const char *s, size_t size)
{
    for (; size; size--, s++, p->length++)
        if (p->length + 1 < p->room)
            p->at[p->length] = *s;
}

static void put_number(struct print *p, unsigned long long n, unsigned base)
{
    char digits[24], *first = digits + sizeof digits;
    do
        *--first = "0123456789abcdef"[n % base];
    while (n /= base);
    put(p, first, (size_t)(digits + sizeof digits - first));
}

static void put_signed(struct print *p, long long n)
{
    if (n < 0)
        put(p, "-", 1);
    put_number(p, n < 0 ? -(unsigned long long)n : (unsigned long long)n, 10);
}

static void put_string(struct print *p, const char *s, int most)
{
    put(p, s, most < 0 ? strlen(s) : strnlen(s, (size_t)most));
}

/* One conversion, behind its %; returns what follows it. */
static const char *convert(struct print *p, const char *f, va_list *args)
{
    int precision = -1;
    if (f[0] == '.' && f[1] == '*') {
        precision = va_arg(*args, int);
        f += 2;
    }
    bool wide = *f == 'l' || *f == 'z';
    f += strspn(f, "lz");
    switch (*f) {
    case 's':
        put_string(p, va_arg(*args, const char *), precision);
        break;
    case 'c':
        put(p, (char[]){(char)va_arg(*args, int)}, 1);
        break;
    case 'd':
        put_signed(p, wide ? va_arg(*args, long) : va_arg(*args, int));
        break;
    case 'u':
    case 'x':
        put_number(p, wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned), *f == 'x' ? 16 : 10);
        break;
    default:
        put(p, f, 1);
    }
    return f + 1;
}

int vsnprintf(char *restrict to, size_t room, const char *restrict format, va_list args)
{
    struct print p = {to, room, 0};
    va_list copy;
    va_copy(copy, args);
    while (*format) {
        size_t plain = strcspn(format, "%");
        put(&p, format, plain);
        format += plain;
        if (*format)
            format = convert(&p, format + 1, &copy);
    }
    va_end(copy);
    if (room)
        to[p.length < room ? p.length : room - 1] = 0;
    return (int)p.length;
}

int snprintf(char *restrict to, size_t room, const char *restrict format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(to, room, format, args);
    va_end(args);
    return n;
}
