/* SPDX-License-Identifier: MIT
 *
 * fuzz_settings.c: any environment, one variable a line. It is read, or refused in one line that names a variable.
 */
#include "promise.h"
#include <ppshim/config.h>
#include <ppshim/trust.h>
#include <sys/mman.h>

#define VARIABLES_MAX 64

static void split(char *text, char *env[VARIABLES_MAX + 1])
{
    size_t count = 0;
    for (char *line = strtok(text, "\n"); line && count < VARIABLES_MAX; line = strtok(NULL, "\n"))
        env[count++] = line;
    env[count] = NULL;
}

/* The one mapping of its texts, of which the library keeps the first for ever. */
static void release(const struct pps_config *c)
{
    const char *texts[] = {c->trust, c->header_optional, c->client_allow, c->client_deny, c->log_path};
    const char *first = NULL, *last = NULL;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i] && (!first || texts[i] < first))
            first = texts[i];
        if (texts[i] && texts[i] > last)
            last = texts[i];
    }
    uintptr_t page = (uintptr_t)first & ~(uintptr_t)4095;
    if (first)
        munmap((void *)page, (size_t)((uintptr_t)last + strlen(last) + 1 - page));
}

static void holds_what_it_says(const struct pps_config *c)
{
    PROMISE(c->timeout_ms >= 100 && c->timeout_ms <= 60000);
    PROMISE(c->log_target != PPS_LOG_FILE || (c->log_path && *c->log_path == '/'));
    PROMISE(!c->on || c->trust || c->header_optional);
    PROMISE(!c->on || c->version_accepted[1] || c->version_accepted[2]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pps_config config;
    char *text = text_of(data, size), *env[VARIABLES_MAX + 1], error[PPS_ERROR_TEXT];
    split(text, env);
    if (pps_config_read(env, &config, error)) {
        holds_what_it_says(&config);
        release(&config);
    } else {
        PROMISE(strlen(error) < sizeof error && is_one_line(error) && strstr(error, "PPSHIM_"));
    }
    free(text);
    return 0;
}
