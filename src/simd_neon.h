/* The verbs of simd_portable.h for AArch64 NEON. */
#define V_LANES 2
#define V_FLOAT16_STORE 1

typedef uint64x2_t v_int;
typedef float32x4_t v_f32;
typedef float64x2_t v_f64;

INLINE uint32x4_t v_halves(v_int a) { return vreinterpretq_u32_u64(a); }
INLINE v_int v_whole(uint32x4_t a) { return vreinterpretq_u64_u32(a); }
INLINE v_f32 v_as_f32(v_int a) { return vreinterpretq_f32_u64(a); }
INLINE v_f64 v_as_f64(v_int a) { return vreinterpretq_f64_u64(a); }
INLINE v_int vf_as_int(v_f32 a) { return vreinterpretq_u64_f32(a); }
INLINE v_int vd_as_int(v_f64 a) { return vreinterpretq_u64_f64(a); }

INLINE v_int v_set64(uint64_t a) { return vdupq_n_u64(a); }
INLINE v_int v_set32(uint32_t a) { return v_whole(vdupq_n_u32(a)); }
INLINE v_int v_and(v_int a, v_int b) { return vandq_u64(a, b); }
INLINE v_int v_or(v_int a, v_int b) { return vorrq_u64(a, b); }
INLINE v_int v_xor3(v_int a, v_int b, v_int c) { return veorq_u64(a, veorq_u64(b, c)); }
INLINE v_int v_xor_masked(v_int a, v_int b, v_int mask) { return veorq_u64(a, vandq_u64(b, mask)); }
INLINE v_int v_add64(v_int a, v_int b) { return vaddq_u64(a, b); }
INLINE v_int v_shr64(v_int a, int n) { return vshlq_u64(a, vdupq_n_s64(-n)); }
INLINE v_int v_shl64(v_int a, int n) { return vshlq_u64(a, vdupq_n_s64(n)); }
INLINE v_int v_add32(v_int a, v_int b) { return v_whole(vaddq_u32(v_halves(a), v_halves(b))); }
INLINE v_int v_sub32(v_int a, v_int b) { return v_whole(vsubq_u32(v_halves(a), v_halves(b))); }
INLINE v_int v_shr32(v_int a, int n) { return v_whole(vshlq_u32(v_halves(a), vdupq_n_s32(-n))); }
INLINE v_int v_shl32(v_int a, int n) { return v_whole(vshlq_u32(v_halves(a), vdupq_n_s32(n))); }
INLINE v_int v_add_bit(v_int a, v_int b, int bit) {
    return v_add32(a, v_and(v_shr32(b, bit), v_set32(1)));
}
INLINE v_int v_mul_wide(v_int a, v_int b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
INLINE v_int v_pair(v_int low, v_int high) { return vsliq_n_u64(low, high, 32); }

INLINE v_int v_load(const void *p) { return vreinterpretq_u64_u8(vld1q_u8(p)); }
INLINE v_int v_load_blocks(const uint64_t *p) { return vld1q_u64(p); }
INLINE v_int v_zip32_low(v_int a, v_int b) { return v_whole(vzip1q_u32(v_halves(a), v_halves(b))); }
INLINE v_int v_zip32_high(v_int a, v_int b) {
    return v_whole(vzip2q_u32(v_halves(a), v_halves(b)));
}
INLINE v_int v_zip64_low(v_int a, v_int b) { return vzip1q_u64(a, b); }
INLINE v_int v_zip64_high(v_int a, v_int b) { return vzip2q_u64(a, b); }

/* Byte stores: an output address may have any alignment. */
INLINE void v_store(void *out, v_int a, v_int b) {
    vst1q_u8((uint8_t *)out, vreinterpretq_u8_u64(a));
    vst1q_u8((uint8_t *)out + 16, vreinterpretq_u8_u64(b));
}
INLINE uint16x8_t v_pack16(v_int a, v_int b) {
    return vcombine_u16(vmovn_u32(v_halves(a)), vmovn_u32(v_halves(b)));
}
INLINE void v_store16(void *out, v_int a, v_int b) {
    vst1q_u8((uint8_t *)out, vreinterpretq_u8_u16(v_pack16(a, b)));
}
INLINE void v_store_high16(void *out, v_int a, v_int b) {
    vst1q_u8((uint8_t *)out,
             vreinterpretq_u8_u16(vuzp2q_u16(vreinterpretq_u16_u64(a), vreinterpretq_u16_u64(b))));
}
INLINE void v_store8(void *out, v_int a, v_int b) {
    vst1_u8((uint8_t *)out, vmovn_u16(v_pack16(a, b)));
}
INLINE void v_store_f16(void *out, v_f32 a, v_f32 b) {
    vst1q_u8((uint8_t *)out, vreinterpretq_u8_f16(vcombine_f16(vcvt_f16_f32(a), vcvt_f16_f32(b))));
}

INLINE v_f32 vf_set(float a) { return vdupq_n_f32(a); }
INLINE v_f32 vf_from_int(v_int a) { return vcvtq_f32_s32(vreinterpretq_s32_u64(a)); }
INLINE v_f32 vf_add(v_f32 a, v_f32 b) { return vaddq_f32(a, b); }
INLINE v_f32 vf_mul(v_f32 a, v_f32 b) { return vmulq_f32(a, b); }
INLINE v_f32 vf_div(v_f32 a, v_f32 b) { return vdivq_f32(a, b); }
INLINE v_f32 vf_fma(v_f32 a, v_f32 b, v_f32 c) { return vfmaq_f32(c, a, b); }
INLINE v_f32 vf_sqrt(v_f32 a) { return vsqrtq_f32(a); }
/* With a comparison, because fmin orders -0 before 0, and the other backends do not. */
INLINE v_f32 vf_min(v_f32 a, v_f32 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
INLINE v_f32 vf_max(v_f32 a, v_f32 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
INLINE unsigned vf_outside(v_f32 a, v_f32 low, v_f32 high) {
    const uint32x4_t bits = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vorrq_u32(vcltq_f32(a, low), vcgtq_f32(a, high)), bits));
}
INLINE v_f32 vf_by_sign(v_int s, v_f32 set, v_f32 clear) {
    return vbslq_f32(vcltzq_s32(vreinterpretq_s32_u64(s)), set, clear);
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

INLINE v_f64 vd_set(double a) { return vdupq_n_f64(a); }
INLINE v_f64 vd_from_int(v_int a) { return vcvtq_f64_s64(vreinterpretq_s64_u64(a)); }
INLINE v_f64 vd_add(v_f64 a, v_f64 b) { return vaddq_f64(a, b); }
INLINE v_f64 vd_sub(v_f64 a, v_f64 b) { return vsubq_f64(a, b); }
INLINE v_f64 vd_mul(v_f64 a, v_f64 b) { return vmulq_f64(a, b); }
INLINE v_f64 vd_div(v_f64 a, v_f64 b) { return vdivq_f64(a, b); }
INLINE v_f64 vd_fma(v_f64 a, v_f64 b, v_f64 c) { return vfmaq_f64(c, a, b); }
INLINE v_f64 vd_sqrt(v_f64 a) { return vsqrtq_f64(a); }
INLINE v_f64 vd_min(v_f64 a, v_f64 b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
INLINE v_f64 vd_max(v_f64 a, v_f64 b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
INLINE unsigned vd_outside(v_f64 a, v_f64 low, v_f64 high) {
    const uint64x2_t bits = {1, 2};
    return (unsigned)vaddvq_u64(vandq_u64(vorrq_u64(vcltq_f64(a, low), vcgtq_f64(a, high)), bits));
}
INLINE unsigned vd_signs(v_f64 a) {
    v_int signs = v_shr64(vd_as_int(a), 63);
    return (unsigned)(vgetq_lane_u64(signs, 0) | vgetq_lane_u64(signs, 1) << 1);
}
INLINE void vd_store(double *out, v_f64 a) { vst1q_f64(out, a); }
INLINE v_f64 vd_by_sign(v_int s, v_f64 set, v_f64 clear) {
    return vbslq_f64(vcltzq_s64(vreinterpretq_s64_u64(s)), set, clear);
}
INLINE v_f64 vd_by_bit(v_int b, int bit, v_f64 set, v_f64 clear) {
    return vd_by_sign(v_shl64(b, 63 - bit), set, clear);
}
INLINE v_f64 vd_exponent(v_f64 a) {
    return vd_from_int(vsubq_u64(v_shr64(vd_as_int(a), 52), v_set64(1023)));
}
INLINE v_f64 vd_mantissa(v_f64 a) {
    return v_as_f64(
        v_or(v_and(vd_as_int(a), v_set64(0x000fffffffffffff)), v_set64(0x3ff0000000000000)));
}
INLINE v_f32 vd_narrow(v_f64 low, v_f64 high) {
    float32x2_t a = vcvt_f32_f64(low), b = vcvt_f32_f64(high);
    return vcombine_f32(vzip1_f32(a, b), vzip2_f32(a, b));
}
