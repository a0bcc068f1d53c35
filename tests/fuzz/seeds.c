/* SPDX-License-Identifier: MIT
 *
 * seeds.c: writes every vector of tests/unit/vectors.h to DIRECTORY/NAME: the fuzzer's first corpus, and the same bytes
 * for shell and Python.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unit/vectors.h>

static bool write_file(const char *directory, const struct vector *v)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", directory, v->name);
    FILE *f = n < (int)sizeof path ? fopen(path, "w") : NULL;
    bool written = f && fwrite(v->bytes, 1, v->size, f) == v->size;

    if (f && fclose(f) != 0)
        written = false;
    if (!written)
        perror(path);
    return written;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < vector_count; i++) {
        if (!write_file(argv[1], &vectors[i]))
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
