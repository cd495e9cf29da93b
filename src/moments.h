/* Mean, variance, minimum and maximum of values that are still in the cache.
 *
 * Positions of a part are counted in C order. Unit k holds positions k * UNIT to (k + 1) * UNIT -
 * 1, and position p of a unit belongs to lane p % LANES. Lanes, units and chunks are summed in
 * order. They do not depend on threads or on the backend, so neither do the bits of the result. A
 * pivot is subtracted from each value first, so that the variance of numbers far from 0 keeps its
 * digits. All sums are float64. */
#ifndef INITFAST_MOMENTS_H
#define INITFAST_MOMENTS_H

#include "initfast.h"

enum {
    INITFAST_LANES = 16,
    /* A whole number of tiles for every dtype, and small enough for a second-level cache. */
    INITFAST_UNIT = 32 * 4 * INITFAST_TILE_BLOCKS,
    /* The maximum number of chunks of a part, which limits the memory for their sums. */
    INITFAST_CHUNKS = 1024,
};

/* Sums per lane: of the distances from the pivot and of their squares; and the smallest and largest
 * value per lane. */
typedef struct initfast_lanes {
    double sum[INITFAST_LANES], square[INITFAST_LANES];
    double minimum[INITFAST_LANES], maximum[INITFAST_LANES];
} initfast_lanes;

/* The same for all lanes together. */
typedef struct { double sum, square, minimum, maximum; } initfast_sums;

/* moments.c: does initfast_fill and adds the sums of each unit to `sums`, in order. `begin` must be
 * the first position of a unit. The source must have a kernel and a floating dtype. */
extern const initfast_sums initfast_no_sums;
void initfast_fill_measured(const initfast_backend *backend, const initfast_source *source,
                            uint64_t seed, uint64_t stream, const initfast_part *part,
                            uint64_t begin, uint64_t end, initfast_sums *sums);

/* The moments of `count` values, at least one, from the sums of `chunks` chunks. */
initfast_moments initfast_moments_of(const initfast_source *source, const initfast_sums *sums,
                                     size_t chunks, uint64_t count);

#endif
