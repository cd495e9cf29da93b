/* Mean, variance, minimum and maximum, taken while the values are still in the cache.
 *
 * Positions of a part are counted in C order. Unit k holds positions k * UNIT to (k + 1) * UNIT;
 * position p of a unit belongs to lane p % LANES. Lanes, units and chunks are each summed in their
 * order, and none of them depends on threads or on the backend: neither do the bits of the result.
 * A pivot is subtracted from each value first, so that the variance of numbers far from 0 keeps its
 * digits. All sums are float64. */
#ifndef INITFAST_MOMENTS_H
#define INITFAST_MOMENTS_H

#include "initfast.h"

enum {
    INITFAST_LANES = 16,
    /* Whole tiles of every dtype; small enough for a second-level cache. */
    INITFAST_UNIT = 32 * 4 * INITFAST_TILE_BLOCKS,
    /* A part is cut into so many chunks at most: this bounds the memory for their sums. */
    INITFAST_CHUNKS = 1024,
};

/* One accumulator in each lane: of the distances from the pivot, of their squares, and of the
 * values themselves. */
typedef struct initfast_lanes {
    double sum[INITFAST_LANES], square[INITFAST_LANES];
    double minimum[INITFAST_LANES], maximum[INITFAST_LANES];
} initfast_lanes;

/* The lanes together. */
typedef struct { double sum, square, minimum, maximum; } initfast_sums;

/* moments.c: initfast_fill, with the sums of each unit added to `sums` in order. `begin` is the
 * first position of a unit. The source has a kernel and is of floats. */
extern const initfast_sums initfast_no_sums;
void initfast_fill_measured(const initfast_backend *backend, const initfast_source *source,
                            uint64_t seed, uint64_t stream, const initfast_part *part,
                            uint64_t begin, uint64_t end, initfast_sums *sums);

/* The moments of `count` values, at least one, whose sums are in `chunks` places. */
initfast_moments initfast_moments_of(const initfast_source *source, const initfast_sums *sums,
                                     size_t chunks, uint64_t count);

#endif
