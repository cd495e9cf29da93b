/* Standard normals in pairs (Box and Muller, 1958): radius * cos(angle), radius * sin(angle).
 * README.md derives each step. */
#include "coefficients.h"

#define SIGN_F64 ((uint64_t)1 << 63)
#define TERMS(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* Horner's scheme, with one rounding per step. */
INLINE v_f32 polynomial_f32(v_f32 x, const float *c, const int terms) {
    v_f32 y = vf_set(c[terms - 1]);
    UNROLL
    for (int k = terms - 2; k >= 0; k--) y = vf_fma(y, x, vf_set(c[k]));
    return y;
}

/* Several vectors at once: each step waits for the one before, so the CPU needs independent chains
 * of steps to be busy. */
INLINE void polynomials_f64(v_f64 y[], const v_f64 x[], const int n, const double *c,
                            const int terms) {
    UNROLL
    for (int i = 0; i < n; i++) y[i] = vd_set(c[terms - 1]);
    UNROLL
    for (int k = terms - 2; k >= 0; k--) {
        UNROLL
        for (int i = 0; i < n; i++) y[i] = vd_fma(y[i], x[i], vd_set(c[k]));
    }
}

INLINE v_f64 polynomial_f64(v_f64 x, const double *c, const int terms) {
    v_f64 y;
    polynomials_f64(&y, &x, 1, c, terms);
    return y;
}

/* -2 ln(u) for u = 2^e * (1 + g/2), g in [-1, 0). Both terms have the same sign, so nothing
 * cancels. */
INLINE v_f32 minus_two_log_f32(v_f32 e, v_f32 g) {
    return vf_fma(e, vf_set(-0x1.62e430p0f), vf_mul(g, polynomial_f32(g, LOG_F32, TERMS(LOG_F32))));
}

INLINE void minus_two_logs_f64(v_f64 log[], const v_f64 e[], const v_f64 g[], const int n) {
    polynomials_f64(log, g, n, LOG_F64, TERMS(LOG_F64));
    UNROLL
    for (int i = 0; i < n; i++) {
        log[i] = vd_fma(e[i], vd_set(-0x1.62e42fefa39efp0), vd_mul(g[i], log[i]));
    }
}

/* u = (w + 1/2) / 2^32 for the word as an unsigned number. As a signed number, the word is the
 * distance of u from the nearer of 0 and 1, so that a float has a high resolution at both ends:
 * y = 2 u in the lower half; in the upper half y = 2 (u - 1), so that g = y and e = 0. */
INLINE v_f32 radius_f32(v_int words) {
    v_f32 y = vf_fma(vf_from_int(words), vf_set(0x1p-31f), vf_set(0x1p-32f));
    v_f32 g = vf_by_sign(vf_as_int(y), y, vf_add(vf_mantissa(y), vf_set(-2.0f)));
    v_f32 e = vf_by_sign(vf_as_int(y), vf_set(0.0f), vf_exponent(y));
    return vf_sqrt(minus_two_log_f32(e, g));
}

INLINE v_f64 radius_f64(v_int words) {
    v_f64 y = vd_fma(vd_from_int(words), vd_set(0x1p-63), vd_set(0x1p-64));
    v_f64 g = vd_by_sign(vd_as_int(y), y, vd_add(vd_mantissa(y), vd_set(-2.0)));
    v_f64 e = vd_by_sign(vd_as_int(y), vd_set(0.0), vd_exponent(y));
    v_f64 log;
    minus_two_logs_f64(&log, &e, &g, 1);
    return vd_sqrt(log);
}

/* The word of the angle. Bit 31 is a half turn, which negates the radius. Bit 30 is a reflection at
 * the diagonal, which swaps cosine and sine. The other bits, as a signed number shifted by half a
 * step, are an angle x in (-1/2, 1/2) quarter turns. x is never 0, so no normal is 0. */
INLINE v_two_f32 normal_f32(v_int radius_words, v_int angle_words, v_f32 scale, v_f32 shift) {
    v_f32 x = vf_fma(vf_from_int(v_shl32(angle_words, 2)), vf_set(0x1p-32f), vf_set(0x1p-31f));
    v_f32 z = vf_mul(x, x);
    v_f32 sine =
        vf_fma(x, vf_set(0x1.921fb6p0f), vf_mul(x, polynomial_f32(z, SIN_F32, TERMS(SIN_F32))));
    v_f32 cosine = vf_fma(z, polynomial_f32(z, COS_F32, TERMS(COS_F32)), vf_set(1.0f));
    v_f32 r = vf_mul(radius_f32(radius_words), scale);
    r = v_as_f32(v_xor_masked(vf_as_int(r), angle_words, v_set32(0x80000000)));
    v_two_f32 pair = {vf_fma(r, vf_by_bit(angle_words, 30, sine, cosine), shift),
                      vf_fma(r, vf_by_bit(angle_words, 30, cosine, sine), shift)};
    return pair;
}

INLINE v_two_f64 normal_f64(v_int radius_words, v_int angle_words, v_f64 scale, v_f64 shift) {
    v_f64 x = vd_fma(vd_from_int(v_shl64(angle_words, 2)), vd_set(0x1p-64), vd_set(0x1p-63));
    v_f64 z = vd_mul(x, x);
    v_f64 sine = vd_fma(x, vd_set(0x1.921fb54442d18p0),
                        vd_mul(x, polynomial_f64(z, SIN_F64, TERMS(SIN_F64))));
    v_f64 cosine = vd_fma(z, polynomial_f64(z, COS_F64, TERMS(COS_F64)), vd_set(1.0));
    v_f64 r = vd_mul(radius_f64(radius_words), scale);
    r = v_as_f64(v_xor_masked(vd_as_int(r), angle_words, v_set64(SIGN_F64)));
    v_two_f64 pair = {vd_fma(r, vd_by_bit(angle_words, 62, sine, cosine), shift),
                      vd_fma(r, vd_by_bit(angle_words, 62, cosine, sine), shift)};
    return pair;
}
