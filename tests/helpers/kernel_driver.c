/* Draws from one source on one backend and writes the bytes to standard output, for the architectures and compilers that the tests build for.
 * Arguments: backend distribution dtype itemsize seed stream start count threads, then scale shift low high and the free parameters. */
#include "initfast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc != 10 + 4 + INITFAST_FREE_PARAMETERS) return 2;
    const initfast_backend *backend = NULL;
    for (int i = 0; initfast_backends[i]; i++) {
        if (!strcmp(initfast_backends[i]->name, argv[1])) backend = initfast_backends[i];
    }
    if (!backend || !initfast_usable(backend)) {
        fprintf(stderr, "no backend %s\n", argv[1]);
        return 3;
    }
    initfast_source source = {
        .distribution = (initfast_distribution)atoi(argv[2]), .dtype = (initfast_dtype)atoi(argv[3]), .itemsize = (uint32_t)atoi(argv[4]),
        .scale = strtod(argv[10], NULL), .shift = strtod(argv[11], NULL), .low = strtod(argv[12], NULL), .high = strtod(argv[13], NULL),
    };
    for (int i = 0; i < INITFAST_FREE_PARAMETERS; i++) source.free[i] = strtod(argv[14 + i], NULL);
    const uint64_t count = strtoull(argv[8], NULL, 0);
    initfast_part part = {
        .dimensions = 1, .shape = {count}, .step = {1}, .stride = {source.itemsize}, .start = strtoull(argv[7], NULL, 0),
        .out = malloc((size_t)count * source.itemsize + 1),
    };
    if (!part.out) return 4;
    initfast_fill_threaded(backend, &source, strtoull(argv[5], NULL, 0), strtoull(argv[6], NULL, 0), &part, atoi(argv[9]), NULL, NULL);
    const size_t written = fwrite(part.out, source.itemsize, (size_t)count, stdout);
    free(part.out);
    return written == count ? 0 : 5;
}
