/* The loops of moments.c, which add values to sums, written with verbs. A verb rounds as plain C
 * does, so every backend adds the same numbers in the same order. measure_*.c compile these loops
 * separately from the kernels: in one file, GCC would allocate other registers to the kernels. */
#include "moments.h"

#include <math.h>
#include <string.h>

/* Whether vd_fma is one instruction. If the product is exact, fma and two operations give the same
 * result. */
#ifndef V_FAST_FMA
#define V_FAST_FMA 1
#endif

enum {
    /* The number of vectors that hold the lanes: as float64, and as float32. */
    WIDE = INITFAST_LANES / V_LANES,
    NARROW = WIDE / 2,
    /* The number of values of a narrow dtype that are converted to float32 at a time. */
    WIDENED = 1024,
};
_Static_assert(WIDENED % INITFAST_LANES == 0 && INITFAST_LANES % (2 * V_LANES) == 0, "whole steps");

/* Loads V_LANES float32 as float64. An intrinsic is used if GCC 12 would compile a loop or
 * __builtin_convertvector to several instructions. */
#if defined(INITFAST_X86_64) && V_LANES == 8
INLINE v_f64 load_widened(const float *from) { return _mm512_cvtps_pd(_mm256_loadu_ps(from)); }
#elif defined(INITFAST_X86_64) && V_LANES == 4
INLINE v_f64 load_widened(const float *from) { return _mm256_cvtps_pd(_mm_loadu_ps(from)); }
#elif defined(INITFAST_AARCH64) && defined(__ARM_NEON) && V_FLOAT16_STORE
INLINE v_f64 load_widened(const float *from) { return vcvt_f64_f32(vld1_f32(from)); }
#else
INLINE v_f64 load_widened(const float *from) {
    double lanes[V_LANES];
    UNROLL
    for (int k = 0; k < V_LANES; k++) lanes[k] = from[k];
    v_f64 r;
    memcpy(&r, lanes, sizeof r);
    return r;
}
#endif
_Static_assert(sizeof(v_f64) == V_LANES * sizeof(double), "a vector is its lanes");

INLINE v_f64 load_doubles(const double *from) {
    v_f64 r;
    memcpy(&r, from, sizeof r);
    return r;
}

INLINE v_f32 load_floats(const float *from) {
    v_f32 r;
    memcpy(&r, from, sizeof r);
    return r;
}

INLINE void add_value(initfast_lanes *lanes, size_t lane, double value, double pivot) {
    const double distance = value - pivot;
    lanes->sum[lane] += distance;
    lanes->square[lane] += distance * distance;
    if (value < lanes->minimum[lane]) lanes->minimum[lane] = value;
    if (value > lanes->maximum[lane]) lanes->maximum[lane] = value;
}

INLINE void measure_doubles(const double *values, size_t count, double pivot,
                            initfast_lanes *lanes) {
    const v_f64 about = vd_set(pivot);
    v_f64 sum[WIDE], square[WIDE], low[WIDE], high[WIDE];
    UNROLL
    for (int k = 0; k < WIDE; k++) {
        sum[k] = load_doubles(lanes->sum + k * V_LANES);
        square[k] = load_doubles(lanes->square + k * V_LANES);
        low[k] = load_doubles(lanes->minimum + k * V_LANES);
        high[k] = load_doubles(lanes->maximum + k * V_LANES);
    }
    for (; count >= INITFAST_LANES; count -= INITFAST_LANES, values += INITFAST_LANES) {
        UNROLL
        for (int k = 0; k < WIDE; k++) {
            const v_f64 value = load_doubles(values + k * V_LANES);
            const v_f64 distance = vd_sub(value, about);
            sum[k] = vd_add(sum[k], distance);
            square[k] = vd_add(square[k], vd_mul(distance, distance));
            low[k] = vd_min(value, low[k]);
            high[k] = vd_max(value, high[k]);
        }
    }
    memcpy(lanes->sum, sum, sizeof sum);
    memcpy(lanes->square, square, sizeof square);
    memcpy(lanes->minimum, low, sizeof low);
    memcpy(lanes->maximum, high, sizeof high);
    for (size_t i = 0; i < count; i++) add_value(lanes, i, values[i], pivot);
}

/* Without a pivot, the square of a float32 is exact in float64. */
INLINE void measure_floats(const float *values, size_t count, double pivot, initfast_lanes *lanes,
                           const int has_pivot) {
    const v_f64 about = vd_set(pivot);
    float minimum[INITFAST_LANES], maximum[INITFAST_LANES];
    for (int i = 0; i < INITFAST_LANES; i++) {
        minimum[i] = (float)lanes->minimum[i];
        maximum[i] = (float)lanes->maximum[i];
    }
    v_f64 sum[WIDE], square[WIDE];
    v_f32 low[NARROW], high[NARROW];
    UNROLL
    for (int k = 0; k < WIDE; k++) {
        sum[k] = load_doubles(lanes->sum + k * V_LANES);
        square[k] = load_doubles(lanes->square + k * V_LANES);
    }
    UNROLL
    for (int k = 0; k < NARROW; k++) {
        low[k] = load_floats(minimum + 2 * k * V_LANES);
        high[k] = load_floats(maximum + 2 * k * V_LANES);
    }
    for (; count >= INITFAST_LANES; count -= INITFAST_LANES, values += INITFAST_LANES) {
        UNROLL
        for (int k = 0; k < WIDE; k++) {
            v_f64 distance = load_widened(values + k * V_LANES);
            if (has_pivot) distance = vd_sub(distance, about);
            sum[k] = vd_add(sum[k], distance);
            square[k] = V_FAST_FMA && !has_pivot ? vd_fma(distance, distance, square[k])
                                                 : vd_add(square[k], vd_mul(distance, distance));
        }
        UNROLL
        for (int k = 0; k < NARROW; k++) {
            const v_f32 value = load_floats(values + 2 * k * V_LANES);
            low[k] = vf_min(value, low[k]);
            high[k] = vf_max(value, high[k]);
        }
    }
    memcpy(lanes->sum, sum, sizeof sum);
    memcpy(lanes->square, square, sizeof square);
    memcpy(minimum, low, sizeof low);
    memcpy(maximum, high, sizeof high);
    for (int i = 0; i < INITFAST_LANES; i++) {
        lanes->minimum[i] = minimum[i];
        lanes->maximum[i] = maximum[i];
    }
    for (size_t i = 0; i < count; i++) add_value(lanes, i, (double)values[i], pivot);
}

/* Converts a float16 to float32. The exponent gets the bias of float32. If it is 0, the mantissa is
 * added to 2^-14, which is then subtracted. So no operand is subnormal, which may take a hundred
 * cycles. */
INLINE float float_of_half(uint16_t half) {
    const uint32_t magnitude = half & 0x7fff, sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t least = magnitude >> 10 ? 0 : 113u << 23;
    const uint32_t rebased = (magnitude << 13) + (least ? least : 112u << 23);
    float value, below;
    memcpy(&value, &rebased, sizeof value);
    memcpy(&below, &least, sizeof below);
    value -= below;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Converts float16 to float32 and multiplies by `scale`. Bytes are converted to float16 first,
 * which has all their values (for e4m3fn, divided by 2^8). */
INLINE void widen_halves(const char *from, size_t count, float scale, float *to) {
    size_t i = 0;
#if defined(INITFAST_X86_64) && V_FLOAT16_STORE
    for (; i + 8 <= count; i += 8) {
        const __m128i halves = _mm_loadu_si128((const __m128i *)(from + 2 * i));
        _mm256_storeu_ps(to + i, _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(scale)));
    }
#endif
    for (; i < count; i++) {
        uint16_t half;
        memcpy(&half, from + 2 * i, sizeof half);
        to[i] = float_of_half(half) * scale;
    }
}

INLINE void widen(const char *from, size_t count, float *to, const initfast_dtype dtype) {
    if (dtype == INITFAST_FLOAT16) {
        widen_halves(from, count, 1.0f, to);
    } else if (dtype == INITFAST_BFLOAT16) {
        for (size_t i = 0; i < count; i++) {
            uint16_t high;
            memcpy(&high, from + 2 * i, sizeof high);
            const uint32_t bits = (uint32_t)high << 16;
            memcpy(&to[i], &bits, sizeof bits);
        }
    } else {
        const int e4m3fn = dtype == INITFAST_FLOAT8_E4M3FN;
        const uint8_t *bytes = (const uint8_t *)from;
        uint16_t halves[WIDENED];
        for (size_t i = 0; i < count; i++) {
            const unsigned half = (unsigned)bytes[i] << 8;
            halves[i] = (uint16_t)(e4m3fn ? (half & 0x8000) | (half & 0x7fff) >> 1 : half);
        }
        widen_halves((const char *)halves, count, e4m3fn ? 256.0f : 1.0f, to);
    }
}

INLINE void measure_values(const void *values, size_t count, double pivot, initfast_lanes *lanes,
                           const initfast_dtype dtype, const size_t itemsize) {
    if (dtype == INITFAST_FLOAT64) {
        measure_doubles(values, count, pivot, lanes);
        return;
    }
    float scratch[WIDENED];
    const char *from = values;
    while (count) {
        const float *floats = values;
        size_t n = count;
        if (dtype != INITFAST_FLOAT32) {
            if (n > WIDENED) n = WIDENED;
            widen(from, n, scratch, dtype);
            from += n * itemsize;
            floats = scratch;
        }
        if (pivot == 0.0) measure_floats(floats, n, 0.0, lanes, 0);
        else measure_floats(floats, n, pivot, lanes, 1);
        count -= n;
    }
}

/* The loop of each dtype, and the table of the loops: the floats have the first codes. */
#define MEASURE(DTYPE, dtype, itemsize, ...)                                                 \
    static void measure_##dtype(const void *values, size_t count, double pivot,              \
                                initfast_lanes *lanes) {                                     \
        measure_values(values, count, pivot, lanes, INITFAST_##DTYPE, itemsize);             \
    }
INITFAST_FLOATS(MEASURE, )

#define CELL(DTYPE, dtype, ...) measure_##dtype,
#define MEASURES {INITFAST_FLOATS(CELL, )}
