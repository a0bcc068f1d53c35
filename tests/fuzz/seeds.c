/* SPDX-License-Identifier: MIT
 *
 * seeds.c: what the fuzzers begin with. `seeds DIRECTORY` writes every vector of tests/unit/vectors.h to
 * DIRECTORY/NAME, `seeds DIRECTORY tlv` their TLVs, `seeds DIRECTORY FUZZER` the few texts that this fuzzer needs to
 * know of.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unit/vectors.h>

static const struct {
    const char *fuzzer, *text;
} texts[] = {
    {"settings",
     "PPSHIM_TRUST=10.0.0.0/8,!10.1.0.0/16 unix:/run/s\nPPSHIM_HEADER_OPTIONAL=2001:db8::/32\n"
     "PPSHIM_PORTS=3306,8000-8010\nPPSHIM_TIMEOUT=500ms\nPPSHIM_VERSIONS=1,2\nPPSHIM_LOG=/var/log/x:debug\n"},
    {"settings", "PPSHIM_TRUST=none\nPPSHIM_UNTRUSTED=reject\nPPSHIM_CLIENT_DENY=::ffff:192.0.2.0/120\n"
                 "PPSHIM_DEFER_ACCEPT=on\nPPSHIM_INHERITED=on\nPPSHIM_LOCAL_ADDR=header\nPPSHIM_MAX_PENDING=9\n"},
    {"lists", "10.0.0.0/8 # balancers\n!10.1.2.3\n2001:db8::/32, ::ffff:192.0.2.1 unix:@name\n"},
    {"lists", "vpce:vpce-08d2bf15fac5001c9 azure-link:1,psc:18446744073709551615 # x\ncn:J\\x20D sni:Db.example\n"},
    {"unit", "[Service]\nEnvironment=\"PPSHIM_TRUST=10.0.0.0/8\" LD_PRELOAD=/usr/lib/libppshim.so\n"
             "EnvironmentFile=-/etc/default/%p\nExecStart=\nExecStart=/bin/sh -c 'a \\x41' \\\n b\n"},
    {"unit", "PPSHIM_TRUST=\"10.0.0.0/8 \\\n10.1.0.0/16\"\nexport A='b'\n#c\nUnsetEnvironment=A\n"},
};

static bool write_file(const char *directory, const char *name, const void *bytes, size_t size)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *f = n < (int)sizeof path ? fopen(path, "w") : NULL;
    bool written = f && fwrite(bytes, 1, size, f) == size;

    if (f && fclose(f) != 0)
        written = false;
    if (!written)
        perror(path);
    return written;
}

static bool write_vectors(const char *directory)
{
    for (size_t i = 0; i < vector_count; i++)
        if (!write_file(directory, vectors[i].name, vectors[i].bytes, vectors[i].size))
            return false;
    return true;
}

static bool write_tlvs(const char *directory)
{
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        if (v->tlvs > 0 && !write_file(directory, v->name, v->bytes + v->decided - v->tlvs, v->tlvs))
            return false;
    }
    return true;
}

static bool write_texts(const char *directory, const char *fuzzer)
{
    char name[16];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(name, sizeof name, "text-%zu", i);
        if (strcmp(texts[i].fuzzer, fuzzer) == 0 && !write_file(directory, name, texts[i].text, strlen(texts[i].text)))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: %s DIRECTORY [FUZZER]\n", argv[0]);
        return EXIT_FAILURE;
    }
    bool written = argc == 2                     ? write_vectors(argv[1])
                   : strcmp(argv[2], "tlv") == 0 ? write_tlvs(argv[1])
                                                 : write_texts(argv[1], argv[2]);
    return written ? EXIT_SUCCESS : EXIT_FAILURE;
}
