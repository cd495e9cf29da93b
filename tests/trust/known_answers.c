/* Checks a backend with Random123's known answers, read from standard input in the format of tests/vectors/philox.txt, and with the 10000th value of
 * C++26's std::philox4x32: each vector in every block of a tile. Prints the number of correct blocks; exit status 1 at the first wrong one. */
#include "initfast.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { WORDS = 4 * INITFAST_TILE_BLOCKS };
static const uint64_t CPP26_SEED = 20111115;
static const uint32_t CPP26_10000TH = 1955073260;

int main(int argc, char **argv) {
    const initfast_backend *backend = NULL;
    for (int i = 0; initfast_backends[i]; i++) {
        if (argc == 2 && !strcmp(initfast_backends[i]->name, argv[1]) && initfast_usable(initfast_backends[i])) backend = initfast_backends[i];
    }
    if (!backend) return 2;
    char line[256];
    int right = 0;
    uint32_t made[WORDS];
    while (fgets(line, sizeof line, stdin)) {
        int rounds;
        uint32_t c[4], k[2], w[4];
        if (sscanf(line, "%d %" SCNx32 "%" SCNx32 "%" SCNx32 "%" SCNx32 "%" SCNx32 "%" SCNx32 "%" SCNx32 "%" SCNx32 "%" SCNx32 "%" SCNx32, &rounds,
                   c, c + 1, c + 2, c + 3, k, k + 1, w, w + 1, w + 2, w + 3) != 11) continue;
        const initfast_source source = {.distribution = rounds == 7 ? INITFAST_BITS_7 : INITFAST_BITS, .dtype = INITFAST_UINT32, .itemsize = 4};
        const uint64_t block = c[0] | (uint64_t)c[1] << 32, stream = c[2] | (uint64_t)c[3] << 32, seed = k[0] | (uint64_t)k[1] << 32;
        for (uint64_t lane = 0; lane < INITFAST_TILE_BLOCKS; lane++) {
            memset(made, 0xa5, sizeof made);
            backend->tiles[source.distribution][INITFAST_UINT32](&source, seed, stream, block - lane, NULL, 1, made);
            if (memcmp(made + 4 * lane, w, sizeof w)) return 1;
            right++;
        }
    }
    const initfast_source bits = {.distribution = INITFAST_BITS, .dtype = INITFAST_UINT32, .itemsize = 4};
    memset(made, 0xa5, sizeof made);
    backend->tiles[INITFAST_BITS][INITFAST_UINT32](&bits, CPP26_SEED, 0, 9999 / 4, NULL, 1, made);
    if (made[9999 % 4] != CPP26_10000TH) return 1;
    printf("%s %d\n", backend->name, right + 1);
    return 0;
}
