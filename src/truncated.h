/* Truncated normals by the inverse of their distribution function, with one word per element and
 * without rejection. */

/* Within [-2, 2]. The word gives a centred uniform t in (-1, 1), which is exact in float, and
 *     x = quantile((1 + t erf(sqrt 2)) / 2) = t + t * N(v) / D(v) with v = t*t - 1.
 * The errors of N and D are small compared with the sum, because t is exact. */
INLINE v_f32 truncated_f32(v_int words, v_f32 scale, v_f32 shift) {
    v_f32 t = vf_fma(vf_from_int(v_shr32(words, 8)), vf_set(0x1p-23f), vf_set(-1.0f + 0x1p-24f));
    v_f32 v = vf_fma(t, t, vf_set(-1.0f));
    v_f32 n = polynomial_f32(v, TRUNCATED_NUMERATOR_F32, TERMS(TRUNCATED_NUMERATOR_F32));
    v_f32 d = polynomial_f32(v, TRUNCATED_DENOMINATOR_F32, TERMS(TRUNCATED_DENOMINATOR_F32));
    v_f32 x = vf_fma(t, vf_div(n, d), t);
    return vf_fma(x, scale, shift);
}

INLINE v_f64 truncated_f64(v_int words, v_f64 scale, v_f64 shift) {
    v_f64 t = vd_fma(vd_from_int(v_shr64(words, 11)), vd_set(0x1p-52), vd_set(-1.0 + 0x1p-53));
    v_f64 v = vd_fma(t, t, vd_set(-1.0));
    v_f64 n = polynomial_f64(v, TRUNCATED_NUMERATOR_F64, TERMS(TRUNCATED_NUMERATOR_F64));
    v_f64 d = polynomial_f64(v, TRUNCATED_DENOMINATOR_F64, TERMS(TRUNCATED_DENOMINATOR_F64));
    v_f64 x = vd_fma(t, vd_div(n, d), t);
    return vd_fma(x, scale, shift);
}

/* Within any bounds, in double for every dtype. For u in (0, 1), with u and 1 - u exact, the two
 * tails beyond x are
 *     p = below + mass * u,   q = above + mass * (1 - u).
 * The three parameters are multiplied by 2^k so that none underflows. c = p - 1/2 is computed in
 * two doubles, because x is proportional to c near the middle. Elsewhere the smaller tail gives
 * x. */
typedef struct {
    v_f64 below, above, mass, mass_low, centre, centre_low, log_scale, tail_origin;
    const double *tail_numerator, *tail_denominator;
} free_bounds;

INLINE free_bounds free_bounds_of(const double free[INITFAST_FREE_PARAMETERS]) {
    int far = free[7] != 0.0;
    free_bounds b = {
        .below = vd_set(free[0]),
        .above = vd_set(free[1]),
        .mass = vd_set(free[2]),
        .mass_low = vd_set(free[3]),
        .centre = vd_set(free[4]),
        .centre_low = vd_set(free[5]),
        .log_scale = vd_set(free[6]),
        .tail_origin = vd_set(far ? 0.0 : 2.25),
        .tail_numerator = far ? FAR_TAIL_NUMERATOR_F64 : NEAR_TAIL_NUMERATOR_F64,
        .tail_denominator = far ? FAR_TAIL_DENOMINATOR_F64 : NEAR_TAIL_DENOMINATOR_F64,
    };
    return b;
}

/* c, the distance from the middle. */
INLINE v_f64 free_centred(v_f64 u, const free_bounds *b) {
    v_f64 product = vd_mul(u, b->mass);
    v_f64 product_low = vd_fma(u, b->mass, vd_sub(vd_set(0.0), product));
    v_f64 sum = vd_add(b->centre, product);
    v_f64 added = vd_sub(sum, b->centre);
    v_f64 sum_low = vd_add(vd_sub(b->centre, vd_sub(sum, added)), vd_sub(product, added));
    return vd_add(sum, vd_add(sum_low, vd_add(product_low, vd_fma(u, b->mass_low, b->centre_low))));
}

/* The number of vectors that are computed at a time, and of their words. */
enum { FREE_VECTORS = 4, FREE_STEP = FREE_VECTORS * V_LANES };

INLINE void free_central(v_f64 x[], const v_f64 c[], const v_f64 v[]) {
    v_f64 n[FREE_VECTORS], d[FREE_VECTORS];
    polynomials_f64(n, v, FREE_VECTORS, CENTRAL_NUMERATOR_F64, TERMS(CENTRAL_NUMERATOR_F64));
    polynomials_f64(d, v, FREE_VECTORS, CENTRAL_DENOMINATOR_F64, TERMS(CENTRAL_DENOMINATOR_F64));
    UNROLL
    for (int k = 0; k < FREE_VECTORS; k++) x[k] = vd_mul(c[k], vd_div(n[k], d[k]));
}

INLINE void free_outer(v_f64 x[], const v_f64 tail[], const free_bounds *b) {
    v_f64 e[FREE_VECTORS], g[FREE_VECTORS], r[FREE_VECTORS], n[FREE_VECTORS], d[FREE_VECTORS];
    UNROLL
    for (int k = 0; k < FREE_VECTORS; k++) {
        e[k] = vd_add(vd_exponent(tail[k]), vd_set(1.0));
        g[k] = vd_add(vd_mantissa(tail[k]), vd_set(-2.0));
    }
    minus_two_logs_f64(r, e, g, FREE_VECTORS);
    UNROLL
    for (int k = 0; k < FREE_VECTORS; k++) {
        r[k] = vd_sub(vd_sqrt(vd_add(r[k], b->log_scale)), b->tail_origin);
    }
    polynomials_f64(n, r, FREE_VECTORS, b->tail_numerator, TERMS(NEAR_TAIL_NUMERATOR_F64));
    polynomials_f64(d, r, FREE_VECTORS, b->tail_denominator, TERMS(NEAR_TAIL_DENOMINATOR_F64));
    UNROLL
    for (int k = 0; k < FREE_VECTORS; k++) x[k] = vd_div(n[k], d[k]);
}

enum { FREE_AT_ONCE = 2 * 4 * INITFAST_TILE_BLOCKS };

/* Functions that do not depend on the dtype are compiled only once. */
#define SHARED __attribute__((noinline, unused)) static void

/* Computes x in standard deviations for `count` words of 32 or 52 bits, with u = (w + 1/2) * unit.
 * `count` must be a multiple of FREE_STEP. First the formula of the middle is computed for all
 * words, then the formula of the tails only for the words in the tails, which are fewer except for
 * far bounds. There is no branch on a value, because the branch could not be predicted. */
SHARED free_quantiles(const initfast_source *source, const uint64_t *words, size_t count,
                      double unit, double *x) {
    const free_bounds b = free_bounds_of(source->free);
    const int far = source->free[7] != 0.0;
    double tail[FREE_AT_ONCE + FREE_STEP];
    uint16_t place[FREE_AT_ONCE + FREE_STEP];
    size_t tails = 0;
    for (size_t i = 0; i < count; i += FREE_STEP) {
        v_f64 c[FREE_VECTORS], v[FREE_VECTORS], central[FREE_VECTORS];
        unsigned beyond[FREE_VECTORS];
        double smaller[FREE_STEP];
        UNROLL
        for (int k = 0; k < FREE_VECTORS; k++) {
            /* A word fits in the mantissa of a number in [2^52, 2^53). */
            v_int bits = v_or(v_load(words + i + (size_t)k * V_LANES), v_set64(0x4330000000000000));
            v_f64 word = vd_add(v_as_f64(bits), vd_set(-0x1p52));
            v_f64 u = vd_fma(word, vd_set(unit), vd_set(0.5 * unit));
            c[k] = free_centred(u, &b);
            /* Negative if c is more than 0.425 from the middle: then the tail gives x. */
            v[k] = vd_fma(vd_sub(vd_set(0.0), c[k]), c[k], vd_set(0x1.71eb851eb851fp-3));
            beyond[k] = vd_signs(v[k]);
            /* The smaller tail, with the sign of c. */
            v_f64 p = vd_fma(u, b.mass, b.below);
            v_f64 q = vd_fma(vd_sub(vd_set(1.0), u), b.mass, b.above);
            v_int chosen = vd_as_int(vd_by_sign(vd_as_int(c[k]), p, q));
            chosen = v_xor_masked(chosen, vd_as_int(c[k]), v_set64(SIGN_F64));
            vd_store(smaller + k * V_LANES, v_as_f64(chosen));
        }
        if (!far) {
            free_central(central, c, v);
            UNROLL
            for (int k = 0; k < FREE_VECTORS; k++) vd_store(x + i + k * V_LANES, central[k]);
        }
        UNROLL
        for (unsigned j = 0; j < FREE_STEP; j++) {
            tail[tails] = smaller[j];
            place[tails] = (uint16_t)(i + j);
            tails += beyond[j / V_LANES] >> j % V_LANES & 1;
        }
    }
    for (size_t k = 0; k < FREE_STEP; k++) tail[tails + k] = 0.5;
    for (size_t i = 0; i < tails; i += FREE_STEP) {
        v_int signs[FREE_VECTORS];
        v_f64 outer[FREE_VECTORS];
        UNROLL
        for (int k = 0; k < FREE_VECTORS; k++) {
            signs[k] = v_load(tail + i + k * V_LANES);
            outer[k] = v_as_f64(v_and(signs[k], v_set64(SIGN_F64 - 1)));
        }
        free_outer(outer, outer, &b);
        UNROLL
        for (int k = 0; k < FREE_VECTORS; k++) {
            v_int signed_outer = v_xor_masked(vd_as_int(outer[k]), signs[k], v_set64(SIGN_F64));
            vd_store(tail + i + k * V_LANES, v_as_f64(signed_outer));
        }
    }
    for (size_t k = 0; k < tails; k++) x[place[k]] = tail[k];
}
