/* SPDX-License-Identifier: MIT
 *
 * fuzz_unit.c: any drop-in of a systemd unit, and any EnvironmentFile of it.
 */
#include "promise.h"
#include <stdio.h>
#include <sys/stat.h>
#include <tool/unit_file.h>
#include <unistd.h>

static char root[] = "/tmp/ppshim-fuzz-unit-XXXXXX";
static char settings[sizeof root + 32];

static void remove_all(void)
{
    char command[sizeof root + 16];
    snprintf(command, sizeof command, "rm -rf %s", root);
    PROMISE(system(command) == 0);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "w");
    PROMISE(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char unit[] = "[Service]\nExecStart=/usr/sbin/mysqld\nEnvironmentFile=/settings\nUser=mysql\n";
    static const char *const directories[] = {"etc", "etc/systemd", "etc/systemd/system"};
    char path[sizeof root + 64];
    (void)argc, (void)argv;
    PROMISE(mkdtemp(root));
    atexit(remove_all);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", root, directories[i]);
        PROMISE(mkdir(path, 0700) == 0);
    }
    snprintf(path, sizeof path, "%s/etc/systemd/system/db.service", root);
    write_file(path, unit, sizeof unit - 1);
    snprintf(settings, sizeof settings, "%s/settings", root);
    return 0;
}

static void variables_are_whole(const struct tool_env *env)
{
    for (size_t i = 0; i < env->count; i++) {
        const struct tool_variable *v = &env->variables[i];
        PROMISE(*v->where && strchr(v->text, '=') > v->text && tool_env_find(env, v->text) == v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tool_unit unit;
    char *text = text_of(data, size), error[512];
    write_file(settings, data, size);
    if (tool_unit_read(&unit, root, "db.service", "ppshim.conf", text, error)) {
        variables_are_whole(&unit.env);
        tool_unit_free(&unit);
    } else {
        PROMISE(strlen(error) < sizeof error && is_one_line(error));
    }
    free(text);
    return 0;
}
