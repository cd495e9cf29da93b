/* The bodies of a backend: blocks in, a tile of finished elements out. Written once over the
 * verbs. A backend_*.c chooses the verbs, and how many groups of lanes each distribution keeps
 * in flight: as many as the registers hold. */
#include "philox.h"
#include "uniform.h"
#include "normal.h"
#include "truncated.h"
#include "narrow.h"

static const uint64_t CONSECUTIVE[INITFAST_TILE_BLOCKS] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
    24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
    48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71,
    72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95,
};

/* Whether consecutive blocks go through the loop of listed blocks, unless Philox is most of the
 * work: this halves what is compiled. */
#ifndef V_ONE_LOOP
#define V_ONE_LOOP 0
#endif

/* The source's numbers in vectors, and once more in float32 for the narrower dtypes. */
typedef struct {
    v_f64 scale, shift, low, high;
    v_f32 scale_f32, shift_f32, low_f32, high_f32;
    int subnormals;
    free_bounds free;
} parameters;

/* Whether a float32 between 0 and 2^-126 may result, or cannot be ruled out. At a width of 2^-30
 * the products in fma(standard, scale, shift) are multiples of 2^-123 or coarser: README.md
 * shows it. */
INLINE int may_be_subnormal(const initfast_source *s, const initfast_distribution distribution) {
    const double width = distribution == INITFAST_UNIFORM ? s->scale * 0x1p24 : s->scale;
    const double others[3] = {s->shift, s->low, s->high};
    int may = distribution == INITFAST_TRUNCATED_FREE || !(width >= 0x1p-30);
    for (int k = 0; k < 3; k++) {
        may |= others[k] != 0.0 && others[k] < 0x1p-100 && others[k] > -0x1p-100;
    }
    return may;
}

INLINE parameters parameters_of(const initfast_source *s,
                                const initfast_distribution distribution) {
    parameters p = {
        .scale = vd_set(s->scale),
        .shift = vd_set(s->shift),
        .low = vd_set(s->low),
        .high = vd_set(s->high),
        .scale_f32 = vf_set((float)s->scale),
        .shift_f32 = vf_set((float)s->shift),
        .low_f32 = vf_set((float)s->low),
        .high_f32 = vf_set((float)s->high),
        .subnormals = may_be_subnormal(s, distribution),
        .free = free_bounds_of(s->free),
    };
    return p;
}

INLINE v_pair_f64 make_f64(v_words w, const parameters *p,
                           const initfast_distribution distribution) {
    v_int x = v_pair(w.word[0], w.word[1]), y = v_pair(w.word[2], w.word[3]);
    v_pair_f64 r;
    if (distribution == INITFAST_UNIFORM) {
        r = (v_pair_f64){uniform_f64(x, p->scale, p->shift), uniform_f64(y, p->scale, p->shift)};
    } else if (distribution == INITFAST_TRUNCATED_NORMAL) {
        r = (v_pair_f64){truncated_f64(x, p->scale, p->shift),
                         truncated_f64(y, p->scale, p->shift)};
    } else if (distribution == INITFAST_TRUNCATED_FREE) {
        r = (v_pair_f64){free_from_64(x, &p->free, p->scale, p->shift),
                         free_from_64(y, &p->free, p->scale, p->shift)};
    } else {
        r = normal_f64(x, y, p->scale, p->shift);
    }
    if (distribution != INITFAST_NORMAL) {
        r.first = vd_min(r.first, p->high);
        r.second = vd_min(r.second, p->high);
    }
    /* A uniform starts at low. */
    if (distribution != INITFAST_NORMAL && distribution != INITFAST_UNIFORM) {
        r.first = vd_max(r.first, p->low);
        r.second = vd_max(r.second, p->low);
    }
    v_ordered o = in_order(vd_as_int(r.first), vd_as_int(r.second));
    return (v_pair_f64){v_as_f64(o.first), v_as_f64(o.second)};
}

INLINE v_pair_f32 make_f32(v_words w, const parameters *p, const initfast_distribution distribution,
                           const initfast_dtype dtype) {
    v_pair_f32 r;
    if (distribution == INITFAST_UNIFORM || distribution == INITFAST_TRUNCATED_NORMAL) {
        v_ordered o = ordered_words(w);
        if (distribution == INITFAST_UNIFORM) {
            r = (v_pair_f32){uniform_f32(o.first, p->scale_f32, p->shift_f32),
                             uniform_f32(o.second, p->scale_f32, p->shift_f32)};
        } else {
            r = (v_pair_f32){truncated_f32(o.first, p->scale_f32, p->shift_f32),
                             truncated_f32(o.second, p->scale_f32, p->shift_f32)};
        }
    } else if (distribution == INITFAST_TRUNCATED_FREE) {
        v_f64 e[4];
        UNROLL
        for (int k = 0; k < 4; k++) e[k] = free_from_32(w.word[k], &p->free, p->scale, p->shift);
        v_ordered o = in_order(vf_as_int(vd_narrow(e[0], e[1])), vf_as_int(vd_narrow(e[2], e[3])));
        r = (v_pair_f32){v_as_f32(o.first), v_as_f32(o.second)};
    } else {
        v_pair_f32 n = normal_f32(v_pair(w.word[0], w.word[2]), v_pair(w.word[1], w.word[3]),
                                  p->scale_f32, p->shift_f32);
        v_int cosines = vf_as_int(n.first), sines = vf_as_int(n.second);
        r = (v_pair_f32){v_as_f32(v_zip32_low(cosines, sines)),
                         v_as_f32(v_zip32_high(cosines, sines))};
    }
    if (distribution != INITFAST_NORMAL) {
        r.first = vf_min(r.first, p->high_f32);
        r.second = vf_min(r.second, p->high_f32);
    }
    /* A uniform of float32 starts at low; in a narrower dtype low may be further up. */
    if (distribution != INITFAST_NORMAL &&
        !(distribution == INITFAST_UNIFORM && dtype == INITFAST_FLOAT32)) {
        r.first = vf_max(r.first, p->low_f32);
        r.second = vf_max(r.second, p->low_f32);
    }
    return r;
}

/* One group of V_LANES blocks; returns the bytes written. */
INLINE size_t store_group(char *out, v_words w, const parameters *p,
                          const initfast_distribution distribution, const initfast_dtype dtype) {
    if (dtype == INITFAST_UINT32) {
        v_ordered o = ordered_words(w);
        v_store(out, o.first, o.second);
        return 16 * V_LANES;
    }
    if (dtype == INITFAST_FLOAT64) {
        v_pair_f64 r = make_f64(w, p, distribution);
        v_store(out, vd_as_int(r.first), vd_as_int(r.second));
        return 16 * V_LANES;
    }
    v_pair_f32 r = make_f32(w, p, distribution, dtype);
    if (dtype == INITFAST_FLOAT32) {
        v_store(out, vf_as_int(r.first), vf_as_int(r.second));
        return 16 * V_LANES;
    }
    if (dtype == INITFAST_BFLOAT16) {
        if (V_BFLOAT16_STORE && !p->subnormals) v_store_bf16(out, r.first, r.second);
        else v_store_high16(out, bfloat16_of(r.first), bfloat16_of(r.second));
        return 8 * V_LANES;
    }
    if (dtype == INITFAST_FLOAT16) {
        if (V_FLOAT16_STORE) v_store_f16(out, r.first, r.second);
        else v_store16(out, small_float_of(r.first, 5, 10), small_float_of(r.second, 5, 10));
        return 8 * V_LANES;
    }
    const int exponent_bits = dtype == INITFAST_FLOAT8_E5M2 ? 5 : 4;
    v_store8(out, small_float_of(r.first, exponent_bits, 7 - exponent_bits),
             small_float_of(r.second, exponent_bits, 7 - exponent_bits));
    return 4 * V_LANES;
}

/* Steps of `groups` groups each. Without `blocks` they are consecutive, and the low word of
 * their numbers must not wrap: then the high word is one constant, and so is everything that the
 * first two rounds make of it and of the stream alone. */
INLINE char *make_steps(char *at, size_t steps, uint64_t first, const uint64_t *blocks,
                        uint64_t stream, const philox_keys *keys, const parameters *p,
                        const initfast_distribution distribution, const initfast_dtype dtype,
                        const int groups) {
    const int rounds = distribution == INITFAST_BITS_7 ? 7 : PHILOX_ROUNDS;
    const v_int high = v_set64(first >> 32);
    for (; steps; steps--) {
        v_words group[GROUPS];
        UNROLL
        for (int g = 0; g < groups; g++) {
            v_int block = v_add64(v_set64(first),
                                  v_load_blocks((blocks ? blocks : CONSECUTIVE) + g * V_LANES));
            group[g] = philox_counter(block, blocks ? v_shr64(block, 32) : high, stream);
        }
        philox(group, groups, keys, rounds);
        UNROLL
        for (int g = 0; g < groups; g++) at += store_group(at, group[g], p, distribution, dtype);
        if (blocks) blocks += V_LANES * groups;
        else first += (uint64_t)(V_LANES * groups);
    }
    return at;
}

INLINE int one_loop(const initfast_distribution distribution) {
    return distribution == INITFAST_TRUNCATED_FREE ||
           (V_ONE_LOOP && distribution != INITFAST_BITS && distribution != INITFAST_BITS_7 &&
            distribution != INITFAST_UNIFORM);
}

INLINE void make_tiles(const initfast_source *source, uint64_t seed, uint64_t stream,
                       uint64_t first, const uint64_t *blocks, size_t tiles, void *out,
                       const initfast_distribution distribution, const initfast_dtype dtype,
                       const int groups) {
    const uint32_t blocks_a_step = (uint32_t)(V_LANES * groups);
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
            at = make_steps(at, n, first, NULL, stream, &keys, &p, distribution, dtype, groups);
        } else {
            if (!blocks) n = one_loop(distribution) ? steps_a_tile : 1;
            at = make_steps(at, n, first, blocks ? blocks : CONSECUTIVE, stream, &keys, &p,
                            distribution, dtype, groups);
        }
        if (!blocks) first += n * blocks_a_step;
        steps -= n;
    }
}

INLINE int groups_of(const initfast_distribution distribution) {
    if (distribution == INITFAST_TRUNCATED_NORMAL) return GROUPS_TRUNCATED;
    return distribution == INITFAST_TRUNCATED_FREE ? GROUPS_FREE : GROUPS;
}

#define WHOLE_STEPS(groups) (INITFAST_TILE_BLOCKS % (V_LANES * (groups)) == 0 && (groups) <= GROUPS)
_Static_assert(WHOLE_STEPS(GROUPS) && WHOLE_STEPS(GROUPS_TRUNCATED) && WHOLE_STEPS(GROUPS_FREE),
               "a tile is a whole number of steps");

/* The kernel of a dtype and a distribution. */
#define KERNEL(DTYPE, dtype, itemsize, DISTRIBUTION, distribution)                                 \
    static void fill_##distribution##_##dtype(const initfast_source *source, uint64_t seed,        \
                                              uint64_t stream, uint64_t first,                     \
                                              const uint64_t *blocks, size_t tiles, void *out) {   \
        make_tiles(source, seed, stream, first, blocks, tiles, out, INITFAST_##DISTRIBUTION,       \
                   INITFAST_##DTYPE, groups_of(INITFAST_##DISTRIBUTION));                          \
    }
/* Its place in the table of a backend. */
#define CELL(DTYPE, dtype, itemsize, DISTRIBUTION, distribution) \
    .tiles[INITFAST_##DISTRIBUTION][INITFAST_##DTYPE] = fill_##distribution##_##dtype,
