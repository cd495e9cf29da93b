/* Truncated normals by the inverse of their distribution function: one word per element, without
 * rejection. */

/* Within [-2, 2]: the word is a centred uniform t in (-1, 1), exact in float;
 *     x = quantile((1 + t erf(sqrt 2)) / 2) = t + t * N(v) / D(v) with v = t*t - 1.
 * Adding to t keeps the errors of N and D small compared with the sum. */
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

/* Within any bounds, in double for every dtype. With u in (0, 1), both u and 1 - u exact, the
 * two tails beyond x are
 *     p = below + mass * u,   q = above + mass * (1 - u),
 * all three parameters times 2^k so that none underflows, and c = p - 1/2. Its sum is carried in
 * two doubles, since x is proportional to c near the middle. The smaller tail gives x. */
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

INLINE v_f64 free_quantile(v_f64 u, const free_bounds *b) {
    v_f64 product = vd_mul(u, b->mass);
    v_f64 product_low = vd_fma(u, b->mass, vd_sub(vd_set(0.0), product));
    v_f64 sum = vd_add(b->centre, product);
    v_f64 added = vd_sub(sum, b->centre);
    v_f64 sum_low = vd_add(vd_sub(b->centre, vd_sub(sum, added)), vd_sub(product, added));
    v_f64 c =
        vd_add(sum, vd_add(sum_low, vd_add(product_low, vd_fma(u, b->mass_low, b->centre_low))));

    /* Negative beyond 0.425 from the middle, where the tail takes over. */
    v_f64 v = vd_fma(vd_sub(vd_set(0.0), c), c, vd_set(0x1.71eb851eb851fp-3));
    v_f64 central = vd_mul(
        c, vd_div(polynomial_f64(v, CENTRAL_NUMERATOR_F64, TERMS(CENTRAL_NUMERATOR_F64)),
                  polynomial_f64(v, CENTRAL_DENOMINATOR_F64, TERMS(CENTRAL_DENOMINATOR_F64))));

    v_f64 p = vd_fma(u, b->mass, b->below);
    v_f64 q = vd_fma(vd_sub(vd_set(1.0), u), b->mass, b->above);
    v_f64 tail = vd_by_sign(vd_as_int(c), p, q);
    v_f64 minus_two_log = minus_two_log_f64(vd_add(vd_exponent(tail), vd_set(1.0)),
                                            vd_add(vd_mantissa(tail), vd_set(-2.0)));
    v_f64 r = vd_sub(vd_sqrt(vd_add(minus_two_log, b->log_scale)), b->tail_origin);
    v_f64 outer = vd_div(polynomial_f64(r, b->tail_numerator, TERMS(NEAR_TAIL_NUMERATOR_F64)),
                         polynomial_f64(r, b->tail_denominator, TERMS(NEAR_TAIL_DENOMINATOR_F64)));
    outer = v_as_f64(v_xor_masked(vd_as_int(outer), vd_as_int(c), v_set64(0x8000000000000000)));
    return vd_by_sign(vd_as_int(v), outer, central);
}

/* One word in the low half of each lane; bits 12 to 63 of a lane. */
INLINE v_f64 free_from_32(v_int word, const free_bounds *b, v_f64 scale, v_f64 shift) {
    v_f64 u =
        vd_fma(vd_from_int(v_and(word, v_set64(0xffffffff))), vd_set(0x1p-32), vd_set(0x1p-33));
    return vd_fma(free_quantile(u, b), scale, shift);
}

INLINE v_f64 free_from_64(v_int words, const free_bounds *b, v_f64 scale, v_f64 shift) {
    v_f64 u = vd_fma(vd_from_int(v_shr64(words, 12)), vd_set(0x1p-52), vd_set(0x1p-53));
    return vd_fma(free_quantile(u, b), scale, shift);
}
