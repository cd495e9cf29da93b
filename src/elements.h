/* From the words of a group of blocks to finished elements, for every distribution except the
 * inverse of inverse.h. */
typedef struct { v_int first, second; } v_two;
typedef struct { v_f32 first, second; } v_two_f32;
typedef struct { v_f64 first, second; } v_two_f64;

INLINE v_two in_order(v_int x, v_int y) { return (v_two){v_zip64_low(x, y), v_zip64_high(x, y)}; }

#include "uniform.h"
#include "normal.h"
#include "truncated.h"
#include "narrow.h"

/* A list of consecutive block numbers. */
static const uint64_t NUMBERS[INITFAST_TILE_BLOCKS] = {
    0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
    24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
    48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71,
    72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95};

#ifdef V_MULTIPLIES_32
#include "lanes32.h"
#else
#include "lanes64.h"
#endif

INLINE unsigned elements_a_block(const initfast_dtype dtype) {
    return dtype == INITFAST_FLOAT64 ? 2 : 4;
}

INLINE size_t bytes_a_block(const initfast_dtype dtype) {
    switch (dtype) {
    case INITFAST_FLOAT16:
    case INITFAST_BFLOAT16: return 8;
    case INITFAST_FLOAT8_E4M3FN:
    case INITFAST_FLOAT8_E5M2: return 4;
    default: return INITFAST_BLOCK_BYTES;
    }
}

/* The source's numbers in vectors, as float64, and as float32 for all other dtypes. */
typedef struct {
    v_f64 scale, shift, low, high;
    v_f32 scale_f32, shift_f32, low_f32, high_f32;
    int subnormals;
    v_f64 least, most;
    v_f32 least_f32, most_f32;
} parameters;

/* Whether a result may be a subnormal float32. README.md ("Why a backend for one instruction?")
 * shows that it is not if the width is at least 2^-30, and the other numbers are 0 or at least
 * 2^-100. */
INLINE int may_be_subnormal(const initfast_source *s, const initfast_distribution distribution) {
    const double width = distribution == INITFAST_UNIFORM ? s->scale * 0x1p24 : s->scale;
    const double others[3] = {s->shift, s->low, s->high};
    int may = !(width >= 0x1p-30);
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
        .least = vd_set(s->free[8]),
        .most = vd_set(s->free[9]),
        .least_f32 = vf_set((float)s->free[8]),
        .most_f32 = vf_set((float)s->free[9]),
    };
    return p;
}

/* The words of a pair of vectors, in the order of the elements. */
INLINE v_two ordered_words(v_words w, const int pair) {
    v_two o = paired_words(w, pair);
    return in_order(o.first, o.second);
}

INLINE v_two_f64 make_f64(v_two words, const parameters *p,
                          const initfast_distribution distribution) {
    v_int x = words.first, y = words.second;
    v_two_f64 r;
    if (distribution == INITFAST_UNIFORM) {
        r = (v_two_f64){uniform_f64(x, p->scale, p->shift), uniform_f64(y, p->scale, p->shift)};
    } else if (distribution == INITFAST_TRUNCATED_NORMAL) {
        r = (v_two_f64){truncated_f64(x, p->scale, p->shift), truncated_f64(y, p->scale, p->shift)};
    } else {
        r = normal_f64(x, y, p->scale, p->shift);
    }
    v_two o = in_order(vd_as_int(r.first), vd_as_int(r.second));
    return (v_two_f64){v_as_f64(o.first), v_as_f64(o.second)};
}

/* Whether two elements use two words together, as normals do, instead of one word each. */
INLINE int in_pairs(const initfast_distribution distribution) {
    return distribution != INITFAST_UNIFORM && distribution != INITFAST_TRUNCATED_NORMAL;
}

INLINE v_f32 of_word_f32(v_int words, const parameters *p,
                         const initfast_distribution distribution) {
    return distribution == INITFAST_UNIFORM ? uniform_f32(words, p->scale_f32, p->shift_f32)
                                            : truncated_f32(words, p->scale_f32, p->shift_f32);
}

INLINE void make_f32(v_two_f32 made[], v_words w, const parameters *p,
                     const initfast_distribution distribution) {
    if (in_pairs(distribution)) {
        ordered_normals(made, w, p->scale_f32, p->shift_f32);
        return;
    }
    UNROLL
    for (int k = 0; k < V_PAIRS; k++) {
        v_two o = ordered_words(w, k);
        made[k] = (v_two_f32){of_word_f32(o.first, p, distribution),
                              of_word_f32(o.second, p, distribution)};
    }
}

/* Whether elements must be kept at most high (has_high), and at least low (has_low). With wide
 * bounds, elements outside are replaced later, so that only a narrower dtype needs this: its bounds
 * may be further inside. A uniform starts at low in float32 and float64; in a narrower dtype low
 * may be larger. */
INLINE int narrower(const initfast_dtype dtype) {
    return dtype != INITFAST_FLOAT32 && dtype != INITFAST_FLOAT64;
}

INLINE int has_high(const initfast_distribution distribution, const initfast_dtype dtype) {
    return distribution != INITFAST_NORMAL &&
           (distribution != INITFAST_TRUNCATED_WIDE || narrower(dtype));
}

INLINE int has_low(const initfast_distribution distribution, const initfast_dtype dtype) {
    return has_high(distribution, dtype) && (distribution != INITFAST_UNIFORM || narrower(dtype));
}

INLINE v_f32 keep_f32(v_f32 y, const parameters *p, const initfast_distribution distribution,
                      const initfast_dtype dtype) {
    if (has_high(distribution, dtype)) y = vf_min(y, p->high_f32);
    return has_low(distribution, dtype) ? vf_max(y, p->low_f32) : y;
}

INLINE v_f64 keep_f64(v_f64 y, const parameters *p, const initfast_distribution distribution) {
    if (has_high(distribution, INITFAST_FLOAT64)) y = vd_min(y, p->high);
    return has_low(distribution, INITFAST_FLOAT64) ? vd_max(y, p->low) : y;
}

/* Stores two vectors of float32, rounded to the dtype. */
INLINE void store_f32(char *out, v_two_f32 r, const int subnormals, const initfast_dtype dtype) {
    const int exponent_bits = dtype == INITFAST_FLOAT8_E5M2 ? 5 : 4;
    if (dtype == INITFAST_FLOAT32) {
        v_store(out, vf_as_int(r.first), vf_as_int(r.second));
    } else if (dtype == INITFAST_BFLOAT16) {
        if (V_BFLOAT16_STORE && !subnormals) v_store_bf16(out, r.first, r.second);
        else v_store_high16(out, bfloat16_of(r.first), bfloat16_of(r.second));
    } else if (dtype == INITFAST_FLOAT16) {
        if (V_FLOAT16_STORE) v_store_f16(out, r.first, r.second);
        else v_store16(out, small_float_of(r.first, 5, 10), small_float_of(r.second, 5, 10));
    } else {
        v_store8(out, small_float_of(r.first, exponent_bits, 7 - exponent_bits),
                 small_float_of(r.second, exponent_bits, 7 - exponent_bits));
    }
}

/* The elements outside wide bounds: one bit per element of a pair of vectors. */
INLINE uint32_t outside_f32(v_two_f32 r, const parameters *p) {
    return vf_outside(r.first, p->least_f32, p->most_f32) |
           (uint32_t)vf_outside(r.second, p->least_f32, p->most_f32) << 2 * V_LANES;
}

INLINE uint32_t outside_f64(v_two_f64 r, const parameters *p) {
    return vd_outside(r.first, p->least, p->most) |
           (uint32_t)vd_outside(r.second, p->least, p->most) << V_LANES;
}

/* Whether the fast path for bfloat16 is used, if words are in lanes of 32 bits: two neighbours
 * share a lane, and one zip puts them in order. */
INLINE int halves(const initfast_distribution distribution, const initfast_dtype dtype) {
    return V_PAIRS == 2 && dtype == INITFAST_BFLOAT16 && distribution != INITFAST_TRUNCATED_WIDE;
}

#ifdef V_MULTIPLIES_32
INLINE void store_halves(char *out, v_words w, const parameters *p,
                         const initfast_distribution distribution, const initfast_dtype dtype) {
    v_int e[4];
    const int pairs = in_pairs(distribution);
    if (pairs) w = normals_in_place(w, p->scale_f32, p->shift_f32);
    UNROLL
    for (int k = 0; k < 4; k++) {
        v_f32 y = pairs ? v_as_f32(w.word[k]) : of_word_f32(w.word[k], p, distribution);
        e[k] = bfloat16_of(keep_f32(y, p, distribution, dtype));
    }
    v_int a = v_pair_high16(e[0], e[1]), b = v_pair_high16(e[2], e[3]);
    v_store(out, v_zip32_low(a, b), v_zip32_high(a, b));
}
#endif

/* Stores the elements of one group of V_BLOCKS blocks. */
INLINE void store_group(char *out, uint32_t *outside, v_words w, const parameters *p,
                        const initfast_distribution distribution, const initfast_dtype dtype) {
    const int wide = distribution == INITFAST_TRUNCATED_WIDE;
    v_two_f32 made[V_PAIRS];
#ifdef V_MULTIPLIES_32
    if (halves(distribution, dtype)) {
        store_halves(out, w, p, distribution, dtype);
        return;
    }
#endif
    if (dtype != INITFAST_UINT32 && dtype != INITFAST_FLOAT64) make_f32(made, w, p, distribution);
    UNROLL
    for (int k = 0; k < V_PAIRS; k++) {
        char *at = out + (size_t)k * V_LANES * bytes_a_block(dtype);
        if (dtype == INITFAST_UINT32) {
            v_two o = ordered_words(w, k);
            v_store(at, o.first, o.second);
        } else if (dtype == INITFAST_FLOAT64) {
            v_two_f64 r = make_f64(paired_words(w, k), p, distribution);
            if (wide) outside[k] = outside_f64(r, p);
            v_store(at, vd_as_int(keep_f64(r.first, p, distribution)),
                    vd_as_int(keep_f64(r.second, p, distribution)));
        } else {
            if (wide) outside[k] = outside_f32(made[k], p);
            made[k].first = keep_f32(made[k].first, p, distribution, dtype);
            made[k].second = keep_f32(made[k].second, p, distribution, dtype);
            store_f32(at, made[k], p->subnormals, dtype);
        }
    }
}
