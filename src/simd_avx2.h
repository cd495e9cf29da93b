/* The verbs of simd_portable.h for AVX2 with FMA and F16C. */
#define V_LANES 4
#define V_FLOAT16_STORE 1
#define V_MULTIPLIES_32

typedef __m256i v_int;
typedef __m256 v_f32;
typedef __m256d v_f64;

INLINE v_f32 v_as_f32(v_int a) { return _mm256_castsi256_ps(a); }
INLINE v_f64 v_as_f64(v_int a) { return _mm256_castsi256_pd(a); }
INLINE v_int vf_as_int(v_f32 a) { return _mm256_castps_si256(a); }
INLINE v_int vd_as_int(v_f64 a) { return _mm256_castpd_si256(a); }

INLINE v_int v_set64(uint64_t a) { return _mm256_set1_epi64x((long long)a); }
INLINE v_int v_set32(uint32_t a) { return _mm256_set1_epi32((int)a); }
INLINE v_int v_and(v_int a, v_int b) { return _mm256_and_si256(a, b); }
INLINE v_int v_or(v_int a, v_int b) { return _mm256_or_si256(a, b); }
INLINE v_int v_xor3(v_int a, v_int b, v_int c) {
    return _mm256_xor_si256(a, _mm256_xor_si256(b, c));
}
INLINE v_int v_xor_masked(v_int a, v_int b, v_int mask) {
    return _mm256_xor_si256(a, _mm256_and_si256(b, mask));
}
INLINE v_int v_add64(v_int a, v_int b) { return _mm256_add_epi64(a, b); }
INLINE v_int v_shr64(v_int a, int n) { return _mm256_srli_epi64(a, n); }
INLINE v_int v_shl64(v_int a, int n) { return _mm256_slli_epi64(a, n); }
INLINE v_int v_add32(v_int a, v_int b) { return _mm256_add_epi32(a, b); }
INLINE v_int v_sub32(v_int a, v_int b) { return _mm256_sub_epi32(a, b); }
INLINE v_int v_shr32(v_int a, int n) { return _mm256_srli_epi32(a, n); }
INLINE v_int v_shl32(v_int a, int n) { return _mm256_slli_epi32(a, n); }
INLINE v_int v_add_bit(v_int a, v_int b, int bit) {
    return v_add32(a, v_and(v_shr32(b, bit), v_set32(1)));
}
INLINE v_int v_mul_wide(v_int a, v_int b) { return _mm256_mul_epu32(a, b); }
INLINE v_int v_pair(v_int low, v_int high) {
    return _mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xaa);
}

/* For lanes32.h. v_odd32 copies the odd lanes of 32 bits to the even ones; v_odd_from joins the
 * even lanes of one vector and the odd lanes of another; v_mul_low32 is the low half of the
 * products; v_low32 and v_high32 are the low and high halves of eight lanes of 64 bits;
 * v_pair_high16 joins the high halves of two vectors in each lane of 32 bits. */
INLINE v_int v_odd32(v_int a) { return vf_as_int(_mm256_movehdup_ps(v_as_f32(a))); }
INLINE v_int v_odd_from(v_int even, v_int odd) { return _mm256_blend_epi32(even, odd, 0xaa); }
INLINE v_int v_mul_low32(v_int a, v_int b) { return _mm256_mullo_epi32(a, b); }
INLINE v_int v_low32(v_int a, v_int b) {
    return vf_as_int(_mm256_shuffle_ps(v_as_f32(a), v_as_f32(b), 0x88));
}
INLINE v_int v_high32(v_int a, v_int b) {
    return vf_as_int(_mm256_shuffle_ps(v_as_f32(a), v_as_f32(b), 0xdd));
}

INLINE v_int v_pair_high16(v_int low, v_int high) {
    return _mm256_blend_epi16(v_shr32(low, 16), high, 0xaa);
}

INLINE v_int v_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE v_int v_load_blocks(const uint64_t *p) {
    return _mm256_permute4x64_epi64(_mm256_loadu_si256((const __m256i *)p), 0xd8);
}
INLINE v_int v_zip32_low(v_int a, v_int b) { return _mm256_unpacklo_epi32(a, b); }
INLINE v_int v_zip32_high(v_int a, v_int b) { return _mm256_unpackhi_epi32(a, b); }
INLINE v_int v_zip64_low(v_int a, v_int b) { return _mm256_unpacklo_epi64(a, b); }
INLINE v_int v_zip64_high(v_int a, v_int b) { return _mm256_unpackhi_epi64(a, b); }

INLINE void v_store(void *out, v_int a, v_int b) {
    _mm256_storeu_si256((__m256i *)out, a);
    _mm256_storeu_si256((__m256i *)out + 1, b);
}
INLINE v_int v_pack16(v_int a, v_int b) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
}
INLINE void v_store16(void *out, v_int a, v_int b) {
    _mm256_storeu_si256((__m256i *)out, v_pack16(a, b));
}
INLINE void v_store_high16(void *out, v_int a, v_int b) {
    v_store16(out, _mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
}
INLINE void v_store8(void *out, v_int a, v_int b) {
    __m256i words = v_pack16(a, b);
    _mm_storeu_si128((__m128i *)out, _mm_packus_epi16(_mm256_castsi256_si128(words),
                                                      _mm256_extracti128_si256(words, 1)));
}
INLINE void v_store_f16(void *out, v_f32 a, v_f32 b) {
    _mm_storeu_si128((__m128i *)out, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)out + 1, _mm256_cvtps_ph(b, _MM_FROUND_TO_NEAREST_INT));
}

INLINE v_f32 vf_set(float a) { return _mm256_set1_ps(a); }
INLINE v_f32 vf_from_int(v_int a) { return _mm256_cvtepi32_ps(a); }
INLINE v_f32 vf_add(v_f32 a, v_f32 b) { return _mm256_add_ps(a, b); }
INLINE v_f32 vf_mul(v_f32 a, v_f32 b) { return _mm256_mul_ps(a, b); }
INLINE v_f32 vf_div(v_f32 a, v_f32 b) { return _mm256_div_ps(a, b); }
INLINE v_f32 vf_fma(v_f32 a, v_f32 b, v_f32 c) { return _mm256_fmadd_ps(a, b, c); }
INLINE v_f32 vf_sqrt(v_f32 a) { return _mm256_sqrt_ps(a); }
INLINE v_f32 vf_min(v_f32 a, v_f32 b) { return _mm256_min_ps(a, b); }
INLINE v_f32 vf_max(v_f32 a, v_f32 b) { return _mm256_max_ps(a, b); }
INLINE unsigned vf_outside(v_f32 a, v_f32 low, v_f32 high) {
    return (unsigned)_mm256_movemask_ps(
        _mm256_or_ps(_mm256_cmp_ps(a, low, _CMP_LT_OQ), _mm256_cmp_ps(a, high, _CMP_GT_OQ)));
}
INLINE v_f32 vf_by_sign(v_int s, v_f32 set, v_f32 clear) {
    return _mm256_blendv_ps(clear, set, v_as_f32(s));
}
INLINE v_f32 vf_by_bit(v_int b, int bit, v_f32 set, v_f32 clear) {
    return vf_by_sign(v_shl32(b, 31 - bit), set, clear);
}
INLINE v_f32 vf_exponent(v_f32 a) {
    return vf_from_int(v_sub32(v_shr32(vf_as_int(a), 23), v_set32(127)));
}
INLINE v_f32 vf_mantissa(v_f32 a) {
    return v_as_f32(v_or(v_and(vf_as_int(a), v_set32(0x007fffff)), v_set32(0x3f800000)));
}

INLINE v_f64 vd_set(double a) { return _mm256_set1_pd(a); }
INLINE v_f64 vd_add(v_f64 a, v_f64 b) { return _mm256_add_pd(a, b); }
INLINE v_f64 vd_sub(v_f64 a, v_f64 b) { return _mm256_sub_pd(a, b); }
INLINE v_f64 vd_mul(v_f64 a, v_f64 b) { return _mm256_mul_pd(a, b); }
INLINE v_f64 vd_div(v_f64 a, v_f64 b) { return _mm256_div_pd(a, b); }
INLINE v_f64 vd_fma(v_f64 a, v_f64 b, v_f64 c) { return _mm256_fmadd_pd(a, b, c); }
INLINE v_f64 vd_sqrt(v_f64 a) { return _mm256_sqrt_pd(a); }
INLINE v_f64 vd_min(v_f64 a, v_f64 b) { return _mm256_min_pd(a, b); }
INLINE v_f64 vd_max(v_f64 a, v_f64 b) { return _mm256_max_pd(a, b); }
INLINE unsigned vd_outside(v_f64 a, v_f64 low, v_f64 high) {
    return (unsigned)_mm256_movemask_pd(
        _mm256_or_pd(_mm256_cmp_pd(a, low, _CMP_LT_OQ), _mm256_cmp_pd(a, high, _CMP_GT_OQ)));
}
INLINE unsigned vd_signs(v_f64 a) { return (unsigned)_mm256_movemask_pd(a); }
INLINE void vd_store(double *out, v_f64 a) { _mm256_storeu_pd(out, a); }
INLINE v_f64 vd_by_sign(v_int s, v_f64 set, v_f64 clear) {
    return _mm256_blendv_pd(clear, set, v_as_f64(s));
}
INLINE v_f64 vd_from_int(v_int a) {
    /* The low 32 bits are added to 2^52, and the high 32, with their sign flipped, to 2^84. Only
     * the last addition rounds. */
    v_int low = _mm256_blend_epi32(v_set64(0x4330000000000000), a, 0x55);
    v_int high = _mm256_xor_si256(_mm256_srli_epi64(a, 32), v_set64(0x4530000080000000));
    return vd_add(vd_sub(v_as_f64(high), vd_set(0x1p84 + 0x1p63 + 0x1p52)), v_as_f64(low));
}
INLINE v_f64 vd_by_bit(v_int b, int bit, v_f64 set, v_f64 clear) {
    return vd_by_sign(v_shl64(b, 63 - bit), set, clear);
}
INLINE v_f64 vd_exponent(v_f64 a) {
    /* The biased exponent is a small integer, so its sum with 2^52 is exact. */
    v_int biased = v_or(v_shr64(vd_as_int(a), 52), v_set64(0x4330000000000000));
    return vd_sub(v_as_f64(biased), vd_set(0x1p52 + 1023));
}
INLINE v_f64 vd_mantissa(v_f64 a) {
    return v_as_f64(
        v_or(v_and(vd_as_int(a), v_set64(0x000fffffffffffff)), v_set64(0x3ff0000000000000)));
}
INLINE v_f32 vd_narrow(v_f64 low, v_f64 high) {
    v_int a = _mm256_cvtepu32_epi64(_mm_castps_si128(_mm256_cvtpd_ps(low)));
    v_int b = _mm256_cvtepu32_epi64(_mm_castps_si128(_mm256_cvtpd_ps(high)));
    return v_as_f32(v_pair(a, b));
}
