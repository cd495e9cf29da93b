/* The verbs of simd_portable.h for AVX-512 (F, DQ, BW, VL). */
#define V_LANES 8
#define V_FLOAT16_STORE 1

typedef __m512i v_int;
typedef __m512 v_f32;
typedef __m512d v_f64;

INLINE v_f32 v_as_f32(v_int a) { return _mm512_castsi512_ps(a); }
INLINE v_f64 v_as_f64(v_int a) { return _mm512_castsi512_pd(a); }
INLINE v_int vf_as_int(v_f32 a) { return _mm512_castps_si512(a); }
INLINE v_int vd_as_int(v_f64 a) { return _mm512_castpd_si512(a); }

INLINE v_int v_set64(uint64_t a) { return _mm512_set1_epi64((long long)a); }
INLINE v_int v_set32(uint32_t a) { return _mm512_set1_epi32((int)a); }
INLINE v_int v_and(v_int a, v_int b) { return _mm512_and_si512(a, b); }
INLINE v_int v_or(v_int a, v_int b) { return _mm512_or_si512(a, b); }
INLINE v_int v_xor3(v_int a, v_int b, v_int c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
INLINE v_int v_xor_masked(v_int a, v_int b, v_int mask) {
    return _mm512_ternarylogic_epi64(a, b, mask, 0x78);
}
INLINE v_int v_add64(v_int a, v_int b) { return _mm512_add_epi64(a, b); }
INLINE v_int v_shr64(v_int a, int n) { return _mm512_srli_epi64(a, (unsigned)n); }
INLINE v_int v_shl64(v_int a, int n) { return _mm512_slli_epi64(a, (unsigned)n); }
INLINE v_int v_add32(v_int a, v_int b) { return _mm512_add_epi32(a, b); }
INLINE v_int v_sub32(v_int a, v_int b) { return _mm512_sub_epi32(a, b); }
INLINE v_int v_shr32(v_int a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
INLINE v_int v_shl32(v_int a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
INLINE v_int v_add_bit(v_int a, v_int b, int bit) {
    return _mm512_mask_sub_epi32(a, _mm512_test_epi32_mask(b, v_set32(1u << bit)), a,
                                 v_set32(0xffffffff));
}
INLINE v_int v_mul_wide(v_int a, v_int b) { return _mm512_mul_epu32(a, b); }
INLINE v_int v_pair(v_int low, v_int high) {
    return _mm512_mask_shuffle_epi32(low, 0xaaaa, high, _MM_PERM_CCAA);
}

INLINE v_int v_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE v_int v_load_blocks(const uint64_t *p) {
    return _mm512_permutexvar_epi64(_mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0),
                                    _mm512_loadu_si512(p));
}
INLINE v_int v_zip32_low(v_int a, v_int b) { return _mm512_unpacklo_epi32(a, b); }
INLINE v_int v_zip32_high(v_int a, v_int b) { return _mm512_unpackhi_epi32(a, b); }
INLINE v_int v_zip64_low(v_int a, v_int b) { return _mm512_unpacklo_epi64(a, b); }
INLINE v_int v_zip64_high(v_int a, v_int b) { return _mm512_unpackhi_epi64(a, b); }

INLINE void v_store(void *out, v_int a, v_int b) {
    _mm512_storeu_si512(out, a);
    _mm512_storeu_si512((char *)out + 64, b);
}
INLINE void v_store16(void *out, v_int a, v_int b) {
    /* packus takes 128 bits of a and b in turn: restore the order. */
    _mm512_storeu_si512(out, _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0),
                                                      _mm512_packus_epi32(a, b)));
}
INLINE void v_store_high16(void *out, v_int a, v_int b) {
    const v_int odd =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi16(a, odd, b));
}
INLINE void v_store8(void *out, v_int a, v_int b) {
    _mm_storeu_si128((__m128i *)out, _mm512_cvtepi32_epi8(a));
    _mm_storeu_si128((__m128i *)out + 1, _mm512_cvtepi32_epi8(b));
}
INLINE void v_store_f16(void *out, v_f32 a, v_f32 b) {
    _mm256_storeu_si256((__m256i *)out,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm256_storeu_si256((__m256i *)out + 1,
                        _mm512_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

INLINE v_f32 vf_set(float a) { return _mm512_set1_ps(a); }
INLINE v_f32 vf_from_int(v_int a) { return _mm512_cvtepi32_ps(a); }
INLINE v_f32 vf_add(v_f32 a, v_f32 b) { return _mm512_add_ps(a, b); }
INLINE v_f32 vf_mul(v_f32 a, v_f32 b) { return _mm512_mul_ps(a, b); }
INLINE v_f32 vf_div(v_f32 a, v_f32 b) { return _mm512_div_ps(a, b); }
INLINE v_f32 vf_fma(v_f32 a, v_f32 b, v_f32 c) { return _mm512_fmadd_ps(a, b, c); }
INLINE v_f32 vf_sqrt(v_f32 a) { return _mm512_sqrt_ps(a); }
INLINE v_f32 vf_min(v_f32 a, v_f32 b) { return _mm512_min_ps(a, b); }
INLINE v_f32 vf_max(v_f32 a, v_f32 b) { return _mm512_max_ps(a, b); }
INLINE unsigned vf_outside(v_f32 a, v_f32 low, v_f32 high) {
    return (unsigned)(_mm512_cmp_ps_mask(a, low, _CMP_LT_OQ) |
                      _mm512_cmp_ps_mask(a, high, _CMP_GT_OQ));
}
INLINE v_f32 vf_by_sign(v_int s, v_f32 set, v_f32 clear) {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(s), clear, set);
}
INLINE v_f32 vf_by_bit(v_int b, int bit, v_f32 set, v_f32 clear) {
    return _mm512_mask_blend_ps(_mm512_test_epi32_mask(b, v_set32(1u << bit)), clear, set);
}
INLINE v_f32 vf_exponent(v_f32 a) { return _mm512_getexp_ps(a); }
INLINE v_f32 vf_mantissa(v_f32 a) {
    return _mm512_getmant_ps(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
}

INLINE v_f64 vd_set(double a) { return _mm512_set1_pd(a); }
INLINE v_f64 vd_from_int(v_int a) { return _mm512_cvtepi64_pd(a); }
INLINE v_f64 vd_add(v_f64 a, v_f64 b) { return _mm512_add_pd(a, b); }
INLINE v_f64 vd_sub(v_f64 a, v_f64 b) { return _mm512_sub_pd(a, b); }
INLINE v_f64 vd_mul(v_f64 a, v_f64 b) { return _mm512_mul_pd(a, b); }
INLINE v_f64 vd_div(v_f64 a, v_f64 b) { return _mm512_div_pd(a, b); }
INLINE v_f64 vd_fma(v_f64 a, v_f64 b, v_f64 c) { return _mm512_fmadd_pd(a, b, c); }
INLINE v_f64 vd_sqrt(v_f64 a) { return _mm512_sqrt_pd(a); }
INLINE v_f64 vd_min(v_f64 a, v_f64 b) { return _mm512_min_pd(a, b); }
INLINE v_f64 vd_max(v_f64 a, v_f64 b) { return _mm512_max_pd(a, b); }
INLINE unsigned vd_outside(v_f64 a, v_f64 low, v_f64 high) {
    return (unsigned)(_mm512_cmp_pd_mask(a, low, _CMP_LT_OQ) |
                      _mm512_cmp_pd_mask(a, high, _CMP_GT_OQ));
}
INLINE unsigned vd_signs(v_f64 a) { return (unsigned)_mm512_movepi64_mask(vd_as_int(a)); }
INLINE void vd_store(double *out, v_f64 a) { _mm512_storeu_pd(out, a); }
INLINE v_f64 vd_by_sign(v_int s, v_f64 set, v_f64 clear) {
    return _mm512_mask_blend_pd(_mm512_movepi64_mask(s), clear, set);
}
INLINE v_f64 vd_by_bit(v_int b, int bit, v_f64 set, v_f64 clear) {
    return _mm512_mask_blend_pd(_mm512_test_epi64_mask(b, v_set64((uint64_t)1 << bit)), clear, set);
}
INLINE v_f64 vd_exponent(v_f64 a) { return _mm512_getexp_pd(a); }
INLINE v_f64 vd_mantissa(v_f64 a) {
    return _mm512_getmant_pd(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
}
INLINE v_f32 vd_narrow(v_f64 low, v_f64 high) {
    v_int a = _mm512_cvtepu32_epi64(_mm256_castps_si256(_mm512_cvtpd_ps(low)));
    v_int b = _mm512_cvtepu32_epi64(_mm256_castps_si256(_mm512_cvtpd_ps(high)));
    return v_as_f32(v_pair(a, b));
}
