/* Runs the bodies of the kernels on chosen words instead of Philox's, and compares them with references of many more digits. accuracy.py builds
 * this with -DVERBS="simd_....h" and calls it; accuracy_reference.h has the references, which accuracy_exact.py checks with mpmath. */
#include "initfast.h"
#include "compiler.h"
#if defined(INITFAST_X86_64)
#include <immintrin.h>
#elif defined(INITFAST_AARCH64)
#include <arm_neon.h>
#endif
#include <string.h>
#include VERBS
enum { GROUPS = 1, GROUPS_TRUNCATED = 1 };
#include "tiles.h"

#include "accuracy_reference.h"

#define EXPORT __attribute__((visibility("default")))

enum { CHUNK = 4096, BUCKETS = 256 };
static const uint64_t ALL = (uint64_t)1 << 32;

/* ---- Any words, in the order of their elements, through all steps after Philox. ---- */

/* Philox leaves the high halves of its lanes unspecified, so here they have values that would show if they mattered. */
static v_words given_words(const uint32_t *words, const int halved) {
    v_words w;
    for (int k = 0; k < 4; k++) {
        uint64_t lane[V_BLOCKS];
        for (int i = 0; i < V_BLOCKS; i++) lane[i] = words[4 * i + k] | (uint64_t)~words[4 * i + k] << 32;
        w.word[k] = listed_blocks(0, lane, halved).first;
    }
    return w;
}

typedef void maker(const initfast_source *source, const uint32_t *words, size_t blocks, char *out);
#define MAKER(name, distribution, dtype)                                                                        \
    static void make_##name(const initfast_source *source, const uint32_t *words, size_t blocks, char *out) {   \
        const parameters p = parameters_of(source, distribution);                                                 \
        for (; blocks; blocks -= V_BLOCKS, words += 4 * V_BLOCKS) {                                               \
            store_group(out, NULL, given_words(words, halves(distribution, dtype)), &p, distribution, dtype);       \
            out += V_BLOCKS * bytes_a_block(dtype);                                                                 \
        }                                                                                                         \
    }
#define MAKERS(name, distribution)                              \
    MAKER(name##_f32, distribution, INITFAST_FLOAT32)           \
    MAKER(name##_f64, distribution, INITFAST_FLOAT64)           \
    MAKER(name##_f16, distribution, INITFAST_FLOAT16)           \
    MAKER(name##_bf16, distribution, INITFAST_BFLOAT16)         \
    MAKER(name##_f8_e4m3fn, distribution, INITFAST_FLOAT8_E4M3FN) \
    MAKER(name##_f8_e5m2, distribution, INITFAST_FLOAT8_E5M2)
MAKERS(uniform, INITFAST_UNIFORM)
MAKERS(normal, INITFAST_NORMAL)
MAKERS(within, INITFAST_NORMAL_WITHIN)
MAKERS(truncated, INITFAST_TRUNCATED_NORMAL)

#define INVERSE(name, dtype)                                                                                    \
    static void make_free_##name(const initfast_source *source, const uint32_t *words, size_t blocks, char *out) { \
        const parameters p = parameters_of(source, INITFAST_TRUNCATED_FREE);                                      \
        uint64_t at_once[FREE_AT_ONCE];                                                                           \
        while (blocks) {                                                                                          \
            const size_t n = blocks < INITFAST_TILE_BLOCKS ? blocks : INITFAST_TILE_BLOCKS;                       \
            const size_t count = n * elements_a_block(dtype), whole = INITFAST_TILE_BLOCKS * 4;                   \
            char made[INITFAST_TILE_BLOCKS * 4 * 8];                                                              \
            memset(at_once, 0, sizeof at_once);                                                                   \
            for (size_t i = 0; i < count; i++) {                                                                  \
                at_once[i] = dtype == INITFAST_FLOAT64 ? (words[2 * i] | (uint64_t)words[2 * i + 1] << 32) >> 12 : words[i]; \
            }                                                                                                     \
            finish_inverse(source, &p, at_once, whole, made, dtype);                                              \
            memcpy(out, made, n * bytes_a_block(dtype));                                                          \
            blocks -= n, words += 4 * n, out += n * bytes_a_block(dtype);                                         \
        }                                                                                                         \
    }
INVERSE(f32, INITFAST_FLOAT32)
INVERSE(f64, INITFAST_FLOAT64)
INVERSE(f16, INITFAST_FLOAT16)
INVERSE(bf16, INITFAST_BFLOAT16)
INVERSE(f8_e4m3fn, INITFAST_FLOAT8_E4M3FN)
INVERSE(f8_e5m2, INITFAST_FLOAT8_E5M2)
#define ROW(name) {make_##name##_f32, make_##name##_f64, make_##name##_f16, make_##name##_bf16, make_##name##_f8_e4m3fn, make_##name##_f8_e5m2, NULL}
static maker *const MAKE[INITFAST_DISTRIBUTIONS][INITFAST_DTYPES] = {
    [INITFAST_UNIFORM] = ROW(uniform),   [INITFAST_NORMAL] = ROW(normal),         [INITFAST_NORMAL_WITHIN] = ROW(within),
    [INITFAST_TRUNCATED_NORMAL] = ROW(truncated), [INITFAST_TRUNCATED_FREE] = ROW(free),
};

static initfast_source source_of(int distribution, int dtype, const double *numbers) {
    initfast_source s = {.distribution = (initfast_distribution)distribution, .dtype = (initfast_dtype)dtype,
                         .scale = numbers[0], .shift = numbers[1], .low = numbers[2], .high = numbers[3]};
    for (int i = 0; i < INITFAST_FREE_PARAMETERS; i++) s.free[i] = numbers[4 + i];
    return s;
}

/* `blocks` must be a multiple of the lanes. numbers: scale, shift, low, high and the free parameters. */
EXPORT void make(int distribution, int dtype, const double *numbers, const uint32_t *words, size_t blocks, void *out) {
    const initfast_source s = source_of(distribution, dtype, numbers);
    MAKE[distribution][dtype](&s, words, blocks, out);
}

/* ---- Largest errors. ---- */

typedef struct {
    double ulp;            /* largest error, in units in the last place of the exact value */
    double relative;       /* largest relative error */
    uint64_t at;           /* the word of the largest error in ulp */
    uint64_t count, zeros; /* values checked, and how many of them are 0 or NaN */
    uint64_t back;         /* how often a value falls where the exact one rises */
    double back_ulp;       /* the largest such step */
    double relative_by_mantissa[BUCKETS];
} worst;

static inline double ulp_of(double exact, int digits) {
    uint64_t bits;
    memcpy(&bits, &exact, 8);
    bits = (bits & 0x7ff0000000000000) - ((uint64_t)(digits - 1) << 52);
    double ulp;
    memcpy(&ulp, &bits, 8);
    return ulp;
}

static inline void note(worst *w, double error, double exact, int digits, uint64_t at) {
    error = fabs(error);
    const double ulps = error / ulp_of(exact, digits), relative = error / fabs(exact);
    w->count++;
    if (!(ulps <= w->ulp)) {
        w->ulp = ulps;
        w->at = at;
    }
    if (relative > w->relative) w->relative = relative;
    uint64_t bits;
    memcpy(&bits, &exact, 8);
    double *bucket = &w->relative_by_mantissa[bits >> 44 & 255];
    if (relative > *bucket) *bucket = relative;
}

/* ---- float32: all words. ---- */

/* Words [begin, end) as radius; a multiple of CHUNK. The radius falls as the word rises. */
EXPORT void radius_f32_all(uint64_t begin, uint64_t end, worst *w) {
    float found[2 * V_LANES], last = INFINITY;
    for (; begin < end; begin += 2 * V_LANES) {
        uint32_t words[2 * V_LANES];
        for (int i = 0; i < 2 * V_LANES; i++) words[i] = (uint32_t)begin + (uint32_t)i;
        v_int v;
        memcpy(&v, words, sizeof v);
        v_f32 r = radius_f32(v);
        memcpy(found, &r, sizeof r);
        for (int i = 0; i < 2 * V_LANES; i++) {
            const double exact = reference_radius_32(words[i]);
            note(w, found[i] - exact, exact, 24, words[i]);
            w->zeros += !(found[i] > 0);
            if (found[i] > last) {
                w->back++;
                const double by = (found[i] - last) / ulp_of(exact, 24);
                if (by > w->back_ulp) w->back_ulp = by;
            }
            last = found[i];
        }
    }
}

/* A word whose radius is exactly 1, so that a normal is the sine or cosine itself. */
EXPORT uint32_t word_of_radius_1(void) {
    for (uint32_t word = 2605029000u;; word++) {
        v_f32 r = radius_f32(v_set32(word));
        float found[2 * V_LANES];
        memcpy(found, &r, sizeof r);
        if (found[0] == 1.0f) return word;
    }
}

static const double STANDARD[4 + INITFAST_FREE_PARAMETERS] = {1.0, 0.0};

/* Words [begin, end) as angle, with the radius of `radius_word`: the whole normal kernel. */
EXPORT void angle_f32_all(uint64_t begin, uint64_t end, uint32_t radius_word, worst *sine, worst *cosine) {
    const initfast_source s = source_of(INITFAST_NORMAL, INITFAST_FLOAT32, STANDARD);
    uint32_t words[CHUNK];
    float found[CHUNK];
    for (; begin < end; begin += CHUNK / 2) {
        for (int i = 0; i < CHUNK; i += 2) words[i] = radius_word, words[i + 1] = (uint32_t)begin + (uint32_t)i / 2;
        make_normal_f32(&s, words, CHUNK / 4, (char *)found);
        for (int i = 0; i < CHUNK; i += 2) {
            const reference_pair exact = reference_angle_32(words[i + 1]);
            const int swapped = words[i + 1] >> 30 & 1;
            note(swapped ? sine : cosine, found[i] - exact.first, exact.first, 24, words[i + 1]);
            note(swapped ? cosine : sine, found[i + 1] - exact.second, exact.second, 24, words[i + 1]);
            sine->zeros += (found[i] == 0) + (found[i + 1] == 0);
        }
    }
}

/* Each word [begin, end) as radius, with an angle from a bijection, so that every radius and every angle occurs once. */
EXPORT void normal_f32_all(uint64_t begin, uint64_t end, uint32_t factor, worst *w) {
    const initfast_source s = source_of(INITFAST_NORMAL, INITFAST_FLOAT32, STANDARD);
    uint32_t words[CHUNK];
    float found[CHUNK];
    for (; begin < end; begin += CHUNK / 2) {
        for (int i = 0; i < CHUNK; i += 2) {
            words[i] = (uint32_t)begin + (uint32_t)i / 2;
            uint32_t angle = words[i] * factor; /* factor is odd, and both steps are invertible */
            words[i + 1] = angle ^ angle >> 15;
        }
        make_normal_f32(&s, words, CHUNK / 4, (char *)found);
        for (int i = 0; i < CHUNK; i += 2) {
            const double radius = reference_radius_32(words[i]);
            const reference_pair turn = reference_angle_32(words[i + 1]);
            note(w, found[i] - radius * turn.first, radius * turn.first, 24, words[i] | (uint64_t)words[i + 1] << 32);
            note(w, found[i + 1] - radius * turn.second, radius * turn.second, 24, words[i] | (uint64_t)words[i + 1] << 32);
            w->zeros += (found[i] == 0) + (found[i + 1] == 0);
        }
    }
}

/* The 2^24 values for words [0, 2^32) >> 8, and how many of the 2^32 words give another value. */
EXPORT uint64_t table_f32(int distribution, const double *numbers, uint64_t begin, uint64_t end, float *table, int compare) {
    const initfast_source s = source_of(distribution, INITFAST_FLOAT32, numbers);
    uint32_t words[CHUNK];
    float found[CHUNK];
    uint64_t different = 0;
    const uint64_t step = compare ? 1 : 256;
    for (uint64_t at = begin; at < end; at += CHUNK * step) {
        for (uint32_t i = 0; i < CHUNK; i++) words[i] = (uint32_t)(at + i * step);
        MAKE[distribution][INITFAST_FLOAT32](&s, words, CHUNK / 4, (char *)found);
        for (int i = 0; i < CHUNK; i++) {
            if (compare) different += memcmp(&found[i], &table[words[i] >> 8], 4) != 0;
            else table[words[i] >> 8] = found[i];
        }
    }
    return different;
}

/* How many of the 2^24 values are not the exact sum, rounded once. */
EXPORT uint64_t uniform_f32_table(const double *numbers, const float *table, uint32_t begin, uint32_t end) {
    uint64_t different = 0;
    for (uint32_t k = begin; k < end; k++) {
        const float exact = reference_uniform_32(k, numbers);
        different += memcmp(&exact, &table[k], 4) != 0;
    }
    return different;
}

EXPORT void truncated_f32_table(const float *table, uint32_t begin, uint32_t end, worst *w) {
    for (uint32_t k = begin; k < end; k++) {
        const long double exact = reference_truncated(ldexpl((long double)k, -23) + (-1 + 0x1p-24L), table[k]);
        note(w, (double)(table[k] - exact), (double)exact, 24, k);
        if (k && table[k] < table[k - 1]) {
            w->back++;
            const double by = (table[k - 1] - table[k]) / ulp_of((double)exact, 24);
            if (by > w->back_ulp) w->back_ulp = by;
        }
    }
}

/* ---- float64. ---- */

static uint64_t mixed(uint64_t x) { /* splitmix64's output function (Steele, Lea, Flood 2014) */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* `count` words, at least two blocks: those of `list`, or random ones from `seed` on if `list` is NULL. */
EXPORT void f64_words(int distribution, const double *numbers, const uint64_t *list, uint64_t seed, uint64_t count, worst *w) {
    const initfast_source s = source_of(distribution, INITFAST_FLOAT64, numbers);
    uint64_t words[CHUNK];
    double found[CHUNK];
    for (uint64_t at = 0; at < count; at += CHUNK) {
        for (uint64_t i = 0; i < CHUNK; i++) {
            words[i] = list ? list[(at + i) % count] : mixed((seed + at + i) * 0x9e3779b97f4a7c15);
        }
        MAKE[distribution][INITFAST_FLOAT64](&s, (const uint32_t *)words, CHUNK / 2, (char *)found);
        for (int i = 0; i < CHUNK; i += 2) {
            if (distribution == INITFAST_NORMAL) {
                const reference_pair_long exact = reference_normal_64(words[i], words[i + 1]);
                note(w, (double)(found[i] - exact.first), (double)exact.first, 53, words[i]);
                note(w, (double)(found[i + 1] - exact.second), (double)exact.second, 53, words[i + 1]);
                w->zeros += (found[i] == 0) + (found[i + 1] == 0);
                continue;
            }
            for (int k = i; k < i + 2; k++) {
                if (distribution == INITFAST_TRUNCATED_NORMAL) {
                    const long double t = ldexpl((long double)(words[k] >> 11), -52) + (-1 + 0x1p-53L);
                    const long double exact = reference_truncated(t, found[k]);
                    note(w, (double)(found[k] - exact), (double)exact, 53, words[k]);
                } else { /* uniform: `back` counts values that differ from the exact number */
                    w->count++;
                    w->back += found[k] != reference_uniform_64(words[k] >> 11, numbers);
                }
            }
        }
    }
}

/* For sorted words: how often a value falls, and by how much. */
EXPORT void f64_sorted(int distribution, const double *numbers, const uint64_t *list, uint64_t count, worst *w) {
    const initfast_source s = source_of(distribution, INITFAST_FLOAT64, numbers);
    double found[CHUNK], last = -INFINITY;
    for (uint64_t at = 0; at + CHUNK <= count; at += CHUNK) {
        MAKE[distribution][INITFAST_FLOAT64](&s, (const uint32_t *)(list + at), CHUNK / 2, (char *)found);
        for (int i = 0; i < CHUNK; i++) {
            if (found[i] < last) {
                w->back++;
                const double by = (last - found[i]) / ulp_of(found[i], 53);
                if (by > w->back_ulp) w->back_ulp = by;
            }
            last = found[i];
        }
        w->count += CHUNK;
    }
}

/* ---- Free bounds: words (32 bits for float32, 64 for float64) against quadruple precision. ---- */

EXPORT void free_words(int dtype, const double *numbers, double lower, double upper, const uint64_t *list, uint64_t count, worst *w) {
    const initfast_source s = source_of(INITFAST_TRUNCATED_FREE, dtype, numbers);
    const int narrow = dtype == INITFAST_FLOAT32, digits = narrow ? 24 : 53;
    reference_bounds bounds = reference_bounds_of(lower, upper);
    for (uint64_t at = 0; at < count; at += CHUNK) {
        uint64_t wide[CHUNK];
        uint32_t words[CHUNK];
        float found_f32[CHUNK];
        double found[CHUNK];
        for (uint64_t i = 0; i < CHUNK; i++) {
            wide[i] = list[(at + i) % count];
            words[i] = (uint32_t)wide[i];
        }
        if (narrow) MAKE[INITFAST_TRUNCATED_FREE][dtype](&s, words, CHUNK / 4, (char *)found_f32);
        else MAKE[INITFAST_TRUNCATED_FREE][dtype](&s, (const uint32_t *)wide, CHUNK / 2, (char *)found);
        for (int i = 0; i < CHUNK; i++) {
            const double value = narrow ? found_f32[i] : found[i];
            const __float128 exact = reference_free(&bounds, narrow ? reference_u_32(words[i]) : reference_u_64(wide[i]), value);
            if (exact != exact) {
                w->zeros++; /* no convergence from the kernel's value, so its error must be large */
                continue;
            }
            note(w, (double)(value - exact), (double)exact, digits, wide[i]);
        }
    }
}

/* ---- All words in a dtype: the patterns that occur (8 and 16 bits), or the extremes (32), and how often a value falls. ---- */

EXPORT void seen(int distribution, int dtype, const double *numbers, uint64_t begin, uint64_t end, uint64_t step, int itemsize, uint8_t *patterns,
                 double *ends, uint64_t *back) {
    const initfast_source s = source_of(distribution, dtype, numbers);
    uint32_t words[CHUNK];
    char found[CHUNK * 4];
    float last = -INFINITY;
    for (uint64_t at = begin; at < end; at += CHUNK * step) {
        for (uint32_t i = 0; i < CHUNK; i++) words[i] = (uint32_t)(at + i * step);
        MAKE[distribution][dtype](&s, words, CHUNK / 4, found);
        for (int i = 0; i < CHUNK; i++) {
            if (itemsize == 1) patterns[(uint8_t)found[i]] = 1;
            else if (itemsize == 2) patterns[((const uint16_t *)(const void *)found)[i]] = 1;
            else {
                const float x = ((const float *)(const void *)found)[i];
                if (!(x >= ends[0])) ends[0] = x;
                if (!(x <= ends[1])) ends[1] = x;
                *back += x < last;
                last = x;
            }
        }
    }
}

EXPORT void ends_f64(int distribution, const double *numbers, uint64_t seed, uint64_t count, double *ends) {
    const initfast_source s = source_of(distribution, INITFAST_FLOAT64, numbers);
    uint64_t words[CHUNK];
    double found[CHUNK];
    for (uint64_t at = 0; at < count; at += CHUNK) {
        for (uint64_t i = 0; i < CHUNK; i++) {
            words[i] = mixed((seed + at + i) * 0x9e3779b97f4a7c15);
            if (i < 64) words[i] = i & 1 ? ~(mixed(at + i) >> i) : mixed(at + i) >> i; /* also near both ends */
        }
        MAKE[distribution][INITFAST_FLOAT64](&s, (const uint32_t *)words, CHUNK / 2, (char *)found);
        for (int i = 0; i < CHUNK; i++) {
            if (!(found[i] >= ends[0])) ends[0] = found[i];
            if (!(found[i] <= ends[1])) ends[1] = found[i];
        }
    }
}

/* ---- float32 patterns [first, first + count) to a narrower dtype; a multiple of 4 V_LANES. ---- */

EXPORT void narrowed(int dtype, int by_integers, uint32_t first, size_t count, char *out) {
    for (size_t at = 0; at < count; at += 4 * V_LANES) {
        uint32_t pattern[4 * V_LANES];
        for (uint32_t i = 0; i < 4 * V_LANES; i++) pattern[i] = first + (uint32_t)at + i;
        v_f32 a, b;
        memcpy(&a, pattern, sizeof a);
        memcpy(&b, pattern + 2 * V_LANES, sizeof b);
        if (dtype == INITFAST_BFLOAT16) v_store_high16(out, bfloat16_of(a), bfloat16_of(b));
        else if (dtype == INITFAST_FLOAT16 && by_integers) v_store16(out, small_float_of(a, 5, 10), small_float_of(b, 5, 10));
        else if (dtype == INITFAST_FLOAT16) v_store_f16(out, a, b);
        else if (dtype == INITFAST_FLOAT8_E5M2) v_store8(out, small_float_of(a, 5, 2), small_float_of(b, 5, 2));
        else v_store8(out, small_float_of(a, 4, 3), small_float_of(b, 4, 3));
        out += 4 * V_LANES * (dtype == INITFAST_FLOAT16 || dtype == INITFAST_BFLOAT16 ? 2 : 1);
    }
}

/* ---- The references, for the check in accuracy_exact.py: each value as two doubles. ---- */

static void split(__float128 x, double *out) {
    out[0] = (double)x;
    out[1] = (double)(x - (__float128)out[0]);
}

EXPORT void check_32(uint32_t word, double *out) {
    out[0] = reference_radius_32(word);
    const reference_pair turn = reference_angle_32(word);
    out[1] = turn.first;
    out[2] = turn.second;
}
EXPORT void check_normal_64(uint64_t radius_word, uint64_t angle_word, double *out) {
    const reference_pair_long exact = reference_normal_64(radius_word, angle_word);
    split(exact.first, out);
    split(exact.second, out + 2);
}
EXPORT void check_truncated(double t, double start, double *out) { split(reference_truncated(t, start), out); }
EXPORT void check_free(double lower, double upper, uint64_t word, double start, double *out) {
    const reference_bounds bounds = reference_bounds_of(lower, upper);
    split(reference_free(&bounds, reference_u_64(word), start), out);
}
EXPORT int lanes(void) { return V_BLOCKS; }
EXPORT size_t size_of_worst(void) { return sizeof(worst); }
EXPORT uint64_t all_words(void) { return ALL; }
