/* src/fill.c, the loop of every fill, with a backend that draws nothing and counts the requested blocks. */
#include "initfast.h"

static uint64_t drawn;

static void count(const initfast_source *source, uint64_t seed, uint64_t stream, uint64_t first, const uint64_t *blocks, size_t tiles,
                  void *out) {
    (void)source, (void)seed, (void)stream, (void)first, (void)blocks, (void)out;
    drawn += tiles * INITFAST_TILE_BLOCKS;
}

uint64_t blocks_drawn(const uint64_t *shape, const int64_t *step, const int64_t *stride, const uint64_t *starts, int dimensions,
                      uint64_t start, void *out) {
    initfast_backend backend = {.name = "counter"};
    initfast_source source = {.distribution = INITFAST_NORMAL, .dtype = INITFAST_FLOAT32, .itemsize = 4};
    initfast_part part = {.dimensions = dimensions, .start = start, .starts = starts, .out = out};
    uint64_t total = 1;
    for (int d = 0; d < dimensions; d++) {
        part.shape[d] = shape[d], part.step[d] = step[d], part.stride[d] = stride[d];
        total *= shape[d];
    }
    backend.tiles[INITFAST_NORMAL][INITFAST_FLOAT32] = count;
    drawn = 0;
    initfast_fill(&backend, &source, 0, 0, &part, 0, total);
    return drawn;
}
