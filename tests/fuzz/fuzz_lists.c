/* SPDX-License-Identifier: MIT
 *
 * fuzz_lists.c: any list, as a setting's value and as the content of a file.
 */
#include "promise.h"
#include <policy/trust_internal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct pps_addr address_of(struct pps_wide w)
{
    struct pps_addr a = {.port = 0};
    for (int i = 0; i < 8; i++) {
        a.ip[i] = (uint8_t)(w.high >> (56 - 8 * i));
        a.ip[8 + i] = (uint8_t)(w.low >> (56 - 8 * i));
    }
    return a;
}

static bool is_before(struct pps_wide a, struct pps_wide b)
{
    return a.high != b.high ? a.high < b.high : a.low < b.low;
}

static void ranges_are_in_order_and_found(const struct pps_cidr_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct pps_range *r = &set->ranges[i];
        struct pps_addr first = address_of(r->first), last = address_of(r->last);
        PROMISE(!is_before(r->last, r->first));
        PROMISE(i == 0 || is_before(set->ranges[i - 1].last, r->first));
        PROMISE(pps_cidr_has(set, &first) && pps_cidr_has(set, &last));
    }
}

static void reads_or_says_why(const char *setting, const char *text)
{
    struct pps_list list = {.setting = setting, .text = text};
    char error[PPS_ERROR_TEXT];
    if (pps_list_read(&list, error) == PPS_LIST_GOOD) {
        ranges_are_in_order_and_found(&list.set);
        PROMISE(list.names.count <= list.names_written && !list.names_written == !list.names.count);
    } else {
        PROMISE(strlen(error) < sizeof error && is_one_line(error) && strstr(error, list.setting));
    }
    pps_list_free(&list);
}

/* Balancers have addresses and listeners, clients have addresses and names. */
static void read_as_each(const char *text)
{
    reads_or_says_why("PPSHIM_TRUST", text);
    reads_or_says_why("PPSHIM_CLIENT_DENY", text);
}

/* Entries that name other files would make the answer depend on them. */
static bool names_a_file(const char *text)
{
    return strchr(text, '@');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = text_of(data, size), path[64];
    int file = memfd_create("list", MFD_CLOEXEC);
    PROMISE(file >= 0 && write(file, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "@/proc/self/fd/%d", file);
    read_as_each(path);
    if (!names_a_file(text))
        read_as_each(text);
    close(file);
    free(text);
    return 0;
}
