/* From block numbers to tiles of finished elements, written once with verbs. Each backend_*.c
 * chooses the verbs, and how many groups of lanes are computed at a time: as many as the registers
 * hold. */
#include "elements.h"
#include "philox.h"

/* Whether consecutive blocks use the loop for listed blocks, unless Philox is most of the work.
 * This halves the code. */
#ifndef V_ONE_LOOP
#define V_ONE_LOOP 0
#endif

/* Computes steps of `groups` groups each. Without `blocks`, the blocks are consecutive, and the low
 * word of their numbers must not wrap. Then the high word is a constant, and so are the results of
 * the first two rounds that depend only on it and on the stream. */
INLINE void make_steps(char *at, size_t steps, uint64_t first, const uint64_t *blocks,
                       uint64_t stream, const philox_keys *keys, const parameters *p,
                       uint32_t *outside, const initfast_distribution distribution,
                       const initfast_dtype dtype, const int groups) {
    const int rounds = distribution == INITFAST_BITS_7 ? 7 : PHILOX_ROUNDS;
    const int halved = halves(distribution, dtype);
    const v_int high = lanes_of(first >> 32);
    for (; steps; steps--) {
        v_words group[GROUPS];
        UNROLL
        for (int g = 0; g < groups; g++) {
            if (blocks) {
                v_two block = listed_blocks(first, blocks + g * V_BLOCKS, halved);
                group[g] = philox_counters(block.first, block.second, stream);
            } else {
                v_int block = consecutive_blocks(first, g * V_BLOCKS, halved);
                group[g] = philox_counters(block, high, stream);
            }
        }
        philox(group, groups, keys, rounds);
        UNROLL
        for (int g = 0; g < groups; g++) {
            store_group(at, outside, group[g], p, distribution, dtype);
            at += V_BLOCKS * bytes_a_block(dtype);
            if (distribution == INITFAST_TRUNCATED_WIDE) outside += V_PAIRS;
        }
        if (blocks) blocks += V_BLOCKS * groups;
        else first += (uint64_t)(V_BLOCKS * groups);
    }
}

INLINE int one_loop(const initfast_distribution distribution) {
    return V_ONE_LOOP && distribution != INITFAST_BITS && distribution != INITFAST_BITS_7 &&
           distribution != INITFAST_UNIFORM;
}

INLINE void make_tiles(const initfast_source *source, uint64_t seed, uint64_t stream,
                       uint64_t first, const uint64_t *blocks, size_t tiles, void *out,
                       const initfast_distribution distribution, const initfast_dtype dtype,
                       const int groups) {
    const uint32_t blocks_a_step = (uint32_t)(V_BLOCKS * groups);
    const philox_keys keys = philox_schedule(seed);
    const parameters p = parameters_of(source, distribution);
    const size_t steps_a_tile = INITFAST_TILE_BLOCKS / blocks_a_step;
    size_t steps = tiles * steps_a_tile;
    char *at = out;
    while (steps) {
        const uint64_t before_wrap = (((uint64_t)1 << 32) - (uint32_t)first) / blocks_a_step;
        size_t n = steps;
        if (!blocks && before_wrap && !one_loop(distribution)) {
            if (n > before_wrap) n = (size_t)before_wrap;
            make_steps(at, n, first, NULL, stream, &keys, &p, NULL, distribution, dtype, groups);
        } else {
            if (!blocks) n = one_loop(distribution) ? steps_a_tile : 1;
            make_steps(at, n, first, blocks ? blocks : NUMBERS, stream, &keys, &p, NULL,
                       distribution, dtype, groups);
        }
        at += n * blocks_a_step * bytes_a_block(dtype);
        if (!blocks) first += n * blocks_a_step;
        steps -= n;
    }
}

#include "inverse.h"

INLINE int groups_of(const initfast_distribution distribution) {
    return distribution == INITFAST_TRUNCATED_NORMAL ? GROUPS_TRUNCATED : GROUPS;
}

#define WHOLE_STEPS(groups) \
    (INITFAST_TILE_BLOCKS % (V_BLOCKS * (groups)) == 0 && (groups) <= GROUPS)
_Static_assert(WHOLE_STEPS(GROUPS) && WHOLE_STEPS(GROUPS_TRUNCATED),
               "a tile is a whole number of steps");

INLINE void fill_tiles(const initfast_source *source, uint64_t seed, uint64_t stream,
                       uint64_t first, const uint64_t *blocks, size_t tiles, void *out,
                       const initfast_distribution distribution, const initfast_dtype dtype) {
    if (distribution == INITFAST_TRUNCATED_FREE) {
        free_tiles(source, seed, stream, first, blocks, tiles, out, dtype);
    } else if (distribution == INITFAST_TRUNCATED_WIDE) {
        wide_tiles(source, seed, stream, first, blocks, tiles, out, dtype);
    } else {
        make_tiles(source, seed, stream, first, blocks, tiles, out, distribution, dtype,
                   groups_of(distribution));
    }
}

/* The kernel of a dtype and a distribution. */
#define KERNEL(DTYPE, dtype, itemsize, DISTRIBUTION, distribution)                               \
    static void fill_##distribution##_##dtype(const initfast_source *source, uint64_t seed,      \
                                              uint64_t stream, uint64_t first,                   \
                                              const uint64_t *blocks, size_t tiles, void *out) { \
        fill_tiles(source, seed, stream, first, blocks, tiles, out, INITFAST_##DISTRIBUTION,     \
                   INITFAST_##DTYPE);                                                            \
    }
/* Its entry in the table of a backend. */
#define CELL(DTYPE, dtype, itemsize, DISTRIBUTION, distribution) \
    .tiles[INITFAST_##DISTRIBUTION][INITFAST_##DTYPE] = fill_##distribution##_##dtype,
