/* SPDX-License-Identifier: MIT
 *
 * launch.c: in the place of a test's program for another machine, runs that under qemu-user. It stands in launch/, the
 * program in tests/ beside it. Linked statically: LD_PRELOAD is the other program's, and not for this one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char self[4096], program[4096], **all = calloc((size_t)argc + 6, sizeof *all);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *launch = NULL;
    if (n > 0 && all) {
        self[n] = 0;
        launch = strstr(self, "/launch/");
    }
    if (!launch) {
        fprintf(stderr, "launch: this is in no directory launch/\n");
        return 2;
    }
    snprintf(program, sizeof program, "%.*s/tests/%s", (int)(launch - self), self, launch + strlen("/launch/"));
    char *const command[] = {QEMU, "-L", SYSROOT, "-0", argv[0], program};
    memcpy(all, command, sizeof command);
    memcpy(all + sizeof command / sizeof *command, argv + 1, (size_t)argc * sizeof *all);
    execvp(QEMU, all);
    perror(QEMU);
    return 2;
}
