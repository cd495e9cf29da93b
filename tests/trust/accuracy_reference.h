/* The exact values, with many more digits than the kernels have: double for float32, 64 or 113 bits for float64. The functions split the words
 * with integers and call the C library; they share no code with the kernels. accuracy_exact.py checks each with mpmath. */
#include <math.h>
#include <quadmath.h>
#include <stdint.h>
#include <string.h>

typedef struct { double first, second; } reference_pair;
typedef struct { long double first, second; } reference_pair_long;

/* sqrt(-2 ln u), u = (w + 1/2) / 2^32. Above one half it uses 1 - u. */
static double reference_radius_32(uint32_t word) {
    const double log_u = word >> 31 ? log1p(-((double)~word + 0.5) * 0x1p-32) : log(((double)word + 0.5) * 0x1p-32);
    return sqrt(-2 * log_u);
}

/* Quarter turns x = (int(v << 2) + 2) / 2^32; bit 30 mirrors at the diagonal, bit 31 adds a half turn. */
static reference_pair reference_angle_32(uint32_t word) {
    const double angle = ((double)(int32_t)(word << 2) + 2) * 0x1p-32 * M_PI_2;
    double s = sin(angle), c = cos(angle);
    if (word >> 31) s = -s, c = -c;
    return word >> 30 & 1 ? (reference_pair){s, c} : (reference_pair){c, s};
}

static reference_pair_long reference_normal_64(uint64_t radius_word, uint64_t angle_word) {
    const long double log_u = radius_word >> 63 ? log1pl(-((long double)~radius_word + 0.5L) * 0x1p-64L)
                                                : logl(((long double)radius_word + 0.5L) * 0x1p-64L);
    const long double angle = ((long double)(int64_t)(angle_word << 2) + 2) * 0x1p-64L * 1.57079632679489661923132169163975144L;
    long double r = sqrtl(-2 * log_u), s = sinl(angle), c = cosl(angle);
    if (angle_word >> 63) r = -r;
    return angle_word >> 62 & 1 ? (reference_pair_long){r * s, r * c} : (reference_pair_long){r * c, r * s};
}

/* x with erf(x / sqrt 2) = t erf(sqrt 2): two Newton steps from a start that is accurate to a few ulp of float32. */
static long double reference_truncated(long double t, double start) {
    const long double goal = t * 0.954499736103641585599434725666933125L, sqrt_half = 0.707106781186547524400844362104849039L;
    const long double slope = 0.797884560802865355879892119868763737L; /* sqrt(2 / pi) */
    long double x = start;
    for (int i = 0; i < 2; i++) x -= (erfl(x * sqrt_half) - goal) / (slope * expl(-x * x / 2));
    return x;
}

/* fma(k, scale, shift) kept within [low, high]. The product is exact in 113 bits, and for float32 the sum too. */
static float reference_uniform_32(uint32_t k, const double *numbers) {
    double y = (float)((__float128)k * numbers[0] + numbers[1]);
    y = y < numbers[3] ? y : numbers[3];
    return (float)(y > numbers[2] ? y : numbers[2]);
}

static double reference_uniform_64(uint64_t k, const double *numbers) {
    double y = (double)((__float128)k * numbers[0] + numbers[1]);
    y = y < numbers[3] ? y : numbers[3];
    return y > numbers[2] ? y : numbers[2];
}

/* The tails and the distance from the middle at both bounds. */
typedef struct { __float128 below[2], above[2], middle[2]; } reference_bounds;

static const __float128 SQRT_HALF = 0.707106781186547524400844362104849039284835937688474036588Q;
static const __float128 DENSITY = 0.398942280401432677939946059934381868475858631164934657666Q; /* 1 / sqrt(2 pi) */

static reference_bounds reference_bounds_of(double lower, double upper) {
    reference_bounds b;
    for (int i = 0; i < 2; i++) {
        const __float128 x = (i ? upper : lower) * SQRT_HALF;
        b.below[i] = erfcq(-x) / 2;
        b.above[i] = erfcq(x) / 2;
        b.middle[i] = erfq(x) / 2;
    }
    return b;
}

static __float128 reference_u_32(uint32_t word) { return ((__float128)word + 0.5Q) * 0x1p-32Q; }
static __float128 reference_u_64(uint64_t word) { return ((__float128)(word >> 12) + 0.5Q) * 0x1p-52Q; }

/* The quantile by Newton on the smaller tail, or on the distance from the middle if that is small. The number of correct digits doubles with each
 * step: after a step of less than 1e-15 of x, all are correct. No such step in four: the start was not a kernel's value, not even of float32. */
static __float128 reference_free(const reference_bounds *b, __float128 u, double start) {
    const __float128 middle = b->middle[0] * (1 - u) + b->middle[1] * u;
    const __float128 below = b->below[0] * (1 - u) + b->below[1] * u, above = b->above[0] * (1 - u) + b->above[1] * u;
    __float128 x = start, step = 0;
    for (int i = 0; i < 4; i++) {
        const __float128 density = DENSITY * expq(-x * x / 2);
        if (fabsq(middle) < 0.3Q) step = (erfq(x * SQRT_HALF) / 2 - middle) / density;
        else if (middle < 0) step = (erfcq(-x * SQRT_HALF) / 2 - below) / density;
        else step = (above - erfcq(x * SQRT_HALF) / 2) / density;
        x -= step;
        if (fabsq(step) <= 1e-15Q * fabsq(x)) return x;
    }
    return (__float128)NAN;
}
