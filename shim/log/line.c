/* SPDX-License-Identifier: MIT
 *
 * line.c: builds one line (line.h).
 */
#include <errno.h>
#include <ppshim/line.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define FOREIGN_MAX 128 /* bytes shown of one value of a peer's */
#define CUT_ROOM 8      /* " cut=256" */

static const char digits[] = "0123456789abcdef";

/* --- text --- */

static size_t room(const struct pps_line *l)
{
    return sizeof l->text - 2 - l->reserve - l->length; /* a newline and a NUL always fit */
}

static void put(struct pps_line *l, const char *text, size_t length)
{
    l->overflow |= length > room(l);
    if (l->overflow)
        return;
    memcpy(l->text + l->length, text, length);
    l->length += length;
    l->text[l->length] = 0;
}

static void put_text(struct pps_line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void put_number(struct pps_line *l, uint64_t n)
{
    char text[24];
    char *p = text + sizeof text;
    do
        *--p = digits[n % 10];
    while (n /= 10);
    put(l, p, (size_t)(text + sizeof text - p));
}

/* Bytes that stand for nothing but themselves wherever a value may be pasted: a shell, a list, another log. */
static bool is_harmless(unsigned char c)
{
    return c > ' ' && c < 0x7f && !strchr("\\\"',#", c);
}

static void put_escaped(struct pps_line *l, unsigned char c)
{
    char plain = (char)c, escaped[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
    if (is_harmless(c))
        put(l, &plain, 1);
    else
        put(l, escaped, sizeof escaped);
}

/* --- fields --- */

static struct pps_slice from(const struct pps_line *l, size_t start)
{
    return (struct pps_slice){(uint16_t)start, (uint16_t)(l->length - start)};
}

/* Back to where the last field began. */
static void drop_field(struct pps_line *l)
{
    l->length = l->fields[--l->count].key.at - 1U;
    l->text[l->length] = 0;
    l->overflow = false;
    l->cut++;
}

static void begin_field(struct pps_line *l, const char *key)
{
    size_t start = l->length + 1;
    l->overflow = l->reserve && l->count == PPS_LINE_FIELDS;
    put(l, " ", 1);
    put_text(l, key);
    l->fields[l->count++] = (struct pps_line_field){.key = {(uint16_t)start, (uint16_t)strlen(key)}};
    put(l, "=", 1);
    l->fields[l->count - 1].value = from(l, l->length);
}

static void end_field(struct pps_line *l)
{
    struct pps_line_field *f = &l->fields[l->count - 1];
    if (l->overflow)
        drop_field(l);
    else
        f->value = from(l, f->value.at);
}

/* Of free text what fits. */
static void extend(struct pps_line *l)
{
    if (l->count)
        end_field(l);
    l->overflow = false;
}

void pps_line_text(struct pps_line *l, const char *text)
{
    put(l, text, l->count ? strlen(text) : strnlen(text, room(l)));
    extend(l);
}

void pps_line_number_bare(struct pps_line *l, uint64_t n)
{
    put_number(l, n);
    extend(l);
}

void pps_line_word(struct pps_line *l, const char *key, const char *word)
{
    begin_field(l, key);
    put_text(l, word);
    end_field(l);
}

void pps_line_number(struct pps_line *l, const char *key, uint64_t n)
{
    begin_field(l, key);
    put_number(l, n);
    end_field(l);
}

/* "203.0.113.7:4711" or "[2001:db8::7]:4711", and where in it the address and the port are. */
static void split_endpoint(const struct pps_line *l, struct pps_line_field *f)
{
    size_t start = f->value.at, colon = l->length;
    while (l->text[--colon] != ':')
        ;
    size_t brackets = l->text[start] == '[';
    f->port = from(l, colon + 1);
    f->value = (struct pps_slice){(uint16_t)(start + brackets), (uint16_t)(colon - start - 2 * brackets)};
}

void pps_line_addr(struct pps_line *l, const char *key, const struct pps_addr *a)
{
    char text[PPS_ADDR_TEXT];
    begin_field(l, key);
    put_text(l, pps_addr_text(a, text));
    if (l->overflow)
        drop_field(l);
    else
        split_endpoint(l, &l->fields[l->count - 1]);
}

void pps_line_foreign(struct pps_line *l, const char *key, const void *at, size_t length)
{
    const unsigned char *p = at;
    begin_field(l, key);
    for (size_t i = 0; i < length && i < FOREIGN_MAX; i++)
        put_escaped(l, p[i]);
    if (length > FOREIGN_MAX)
        put_text(l, "...");
    end_field(l);
}

void pps_line_hex(struct pps_line *l, const char *key, const void *at, size_t length)
{
    const unsigned char *p = at;
    begin_field(l, key);
    for (size_t i = 0; i < length && i < FOREIGN_MAX; i++)
        put(l, (const char[]){digits[p[i] >> 4], digits[p[i] & 15]}, 2);
    if (length > FOREIGN_MAX)
        put_text(l, "...");
    end_field(l);
}

void pps_line_listener(struct pps_line *l, const char *key, const struct pps_unix_name *name)
{
    char text[PPS_UNIX_NAME_TEXT];
    size_t length = pps_unix_name_entry(name, text);
    pps_line_foreign(l, key, text, length);
}

/* Not strerror: it may translate, and so allocate. */
void pps_line_errno(struct pps_line *l, const char *key, int error)
{
    static const struct {
        int error;
        const char *word;
    } known[] = {
        {ENOENT, "no-such-file"},     {ENOTDIR, "not-a-directory"}, {EACCES, "permission-denied"},
        {EPERM, "permission-denied"}, {EISDIR, "is-a-directory"},   {EROFS, "read-only-file-system"},
        {ENOSPC, "disk-full"},        {EDQUOT, "quota-exceeded"},   {EFBIG, "file-too-large"},
        {EIO, "input-output-error"},  {ENXIO, "nobody-reads-it"},   {EPIPE, "nobody-reads-it"},
        {EMFILE, "no-descriptor"},    {ENFILE, "no-descriptor"},    {ENOMEM, "no-memory"},
        {ELOOP, "too-many-links"},    {ENAMETOOLONG, "too-long"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].error == error) {
            pps_line_word(l, key, known[i].word);
            return;
        }
    pps_line_number(l, key, (uint64_t)error);
}

/* The path that was given to execve: behind a symbolic link (/etc/alternatives) lies a name that nobody typed. A path
   relative to a directory we do not know, or one of a descriptor (fexecve), says less than what it led to. */
static const char *executed_path(void)
{
    unsigned long at = getauxval(AT_EXECFN);
    const char *path;
    memcpy(&path, &at, sizeof path);
    bool tells = path && path[0] == '/' && strncmp(path, "/dev/fd/", 8) != 0 && strncmp(path, "/proc/", 6) != 0;
    return tells ? path : NULL;
}

void pps_line_exe(struct pps_line *l, const char *key)
{
    char exe[256];
    const char *path = executed_path();
    ssize_t n = path ? (ssize_t)strlen(path) : readlink("/proc/self/exe", exe, sizeof exe);
    if (n > 0)
        pps_line_foreign(l, key, path ? path : exe, (size_t)n);
}

/* --- the whole --- */

size_t pps_line_message(const struct pps_line *l)
{
    return l->event.at;
}

void pps_line_begin(struct pps_line *l, const char *event)
{
    l->length = l->count = l->cut = 0;
    l->overflow = false;
    l->reserve = CUT_ROOM;
    put_text(l, "ppshim[");
    put_number(l, (uint64_t)getpid());
    put_text(l, "]: ");
    l->event = (struct pps_slice){(uint16_t)l->length, (uint16_t)strspn(event, "abcdefghijklmnopqrstuvwxyz-")};
    pps_line_text(l, event);
}

void pps_line_end(struct pps_line *l)
{
    l->reserve = 0;
    if (l->cut)
        pps_line_number(l, "cut", l->cut);
    l->text[l->length++] = '\n';
}
