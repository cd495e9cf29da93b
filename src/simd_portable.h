/* The verbs in plain C, and what each one means. A vector is V_LANES lanes of 64 bits, each also two lanes of 32 (low half first).
 * The other simd_*.h define the same verbs with one instruction or a few. */
#include <math.h>
#include <string.h>

#define V_LANES 2
#define V_FLOAT16_STORE 0
#define FOR_EACH(i, n) for (int i = 0; i < (n); i++)
#define EACH64(TYPE, value) { TYPE r_; FOR_EACH(i, V_LANES) r_.lane[i] = (value); return r_; }
#define EACH32(TYPE, value) { TYPE r_; FOR_EACH(i, 2 * V_LANES) r_.lane[i] = (value); return r_; }

typedef struct { uint64_t lane[V_LANES]; } v_int;
typedef struct { uint32_t lane[2 * V_LANES]; } v_half;
typedef struct { float lane[2 * V_LANES]; } v_f32;
typedef struct { double lane[V_LANES]; } v_f64;

/* The same bits under another type. */
INLINE v_half v_halves(v_int a) { v_half r; memcpy(&r, &a, sizeof r); return r; }
INLINE v_int v_whole(v_half a) { v_int r; memcpy(&r, &a, sizeof r); return r; }
INLINE v_f32 v_as_f32(v_int a) { v_f32 r; memcpy(&r, &a, sizeof r); return r; }
INLINE v_f64 v_as_f64(v_int a) { v_f64 r; memcpy(&r, &a, sizeof r); return r; }
INLINE v_int vf_as_int(v_f32 a) { v_int r; memcpy(&r, &a, sizeof r); return r; }
INLINE v_int vd_as_int(v_f64 a) { v_int r; memcpy(&r, &a, sizeof r); return r; }

/* Integers: the number is the width of a lane, whose arithmetic wraps. */
INLINE v_int v_set64(uint64_t a) EACH64(v_int, a)
INLINE v_half v_half_set(uint32_t a) EACH32(v_half, a)
INLINE v_int v_set32(uint32_t a) { return v_whole(v_half_set(a)); }
INLINE v_int v_and(v_int a, v_int b) EACH64(v_int, a.lane[i] & b.lane[i])
INLINE v_int v_or(v_int a, v_int b) EACH64(v_int, a.lane[i] | b.lane[i])
INLINE v_int v_xor3(v_int a, v_int b, v_int c) EACH64(v_int, a.lane[i] ^ b.lane[i] ^ c.lane[i])
/* a ^ (b & mask). */
INLINE v_int v_xor_masked(v_int a, v_int b, v_int mask) EACH64(v_int, a.lane[i] ^ (b.lane[i] & mask.lane[i]))
INLINE v_int v_add64(v_int a, v_int b) EACH64(v_int, a.lane[i] + b.lane[i])
INLINE v_int v_shr64(v_int a, int n) EACH64(v_int, a.lane[i] >> n)
INLINE v_int v_shl64(v_int a, int n) EACH64(v_int, a.lane[i] << n)
INLINE v_half v_half_add(v_half a, v_half b) EACH32(v_half, a.lane[i] + b.lane[i])
INLINE v_half v_half_sub(v_half a, v_half b) EACH32(v_half, a.lane[i] - b.lane[i])
INLINE v_half v_half_shr(v_half a, int n) EACH32(v_half, a.lane[i] >> n)
INLINE v_half v_half_shl(v_half a, int n) EACH32(v_half, a.lane[i] << n)
INLINE v_int v_add32(v_int a, v_int b) { return v_whole(v_half_add(v_halves(a), v_halves(b))); }
INLINE v_int v_sub32(v_int a, v_int b) { return v_whole(v_half_sub(v_halves(a), v_halves(b))); }
INLINE v_int v_shr32(v_int a, int n) { return v_whole(v_half_shr(v_halves(a), n)); }
INLINE v_int v_shl32(v_int a, int n) { return v_whole(v_half_shl(v_halves(a), n)); }
/* a + 1 where b has this bit, by 32-bit lanes. */
INLINE v_int v_add_bit(v_int a, v_int b, int bit) { return v_add32(a, v_and(v_shr32(b, bit), v_set32(1))); }
/* The low halves of each 64-bit lane: multiplied to 64 bits; or paired into one lane. */
INLINE v_int v_mul_wide(v_int a, v_int b) EACH64(v_int, (uint64_t)(uint32_t)a.lane[i] * (uint32_t)b.lane[i])
INLINE v_int v_pair(v_int low, v_int high) EACH64(v_int, (uint32_t)low.lane[i] | high.lane[i] << 32)

/* Order. v_load_blocks deals V_LANES numbers so that zip_low and zip_high of per-block results come out in the order of the numbers:
 * zip works within each 128 bits, on the even 64-bit lanes (low) or the odd ones (high), taking a and b in turn. */
INLINE v_int v_load_blocks(const uint64_t *p) EACH64(v_int, p[i])
INLINE v_int v_zip32(v_half a, v_half b, int at) {
    v_half r = {{a.lane[at], b.lane[at], a.lane[at + 1], b.lane[at + 1]}};
    return v_whole(r);
}
INLINE v_int v_zip32_low(v_int a, v_int b) { return v_zip32(v_halves(a), v_halves(b), 0); }
INLINE v_int v_zip32_high(v_int a, v_int b) { return v_zip32(v_halves(a), v_halves(b), 2); }
INLINE v_int v_zip64_low(v_int a, v_int b) { v_int r = {{a.lane[0], b.lane[0]}}; return r; }
INLINE v_int v_zip64_high(v_int a, v_int b) { v_int r = {{a.lane[1], b.lane[1]}}; return r; }

/* Two vectors one after the other: whole, or of each 32-bit lane the low 16 or 8 bits or the high 16. Any alignment. */
INLINE void v_store(void *out, v_int a, v_int b) { memcpy(out, &a, sizeof a); memcpy((char *)out + sizeof a, &b, sizeof b); }
INLINE void v_store16(void *out, v_int a, v_int b) {
    v_half x = v_halves(a), y = v_halves(b);
    uint16_t r[4 * V_LANES];
    FOR_EACH(i, 2 * V_LANES) { r[i] = (uint16_t)x.lane[i]; r[i + 2 * V_LANES] = (uint16_t)y.lane[i]; }
    memcpy(out, r, sizeof r);
}
INLINE void v_store8(void *out, v_int a, v_int b) {
    v_half x = v_halves(a), y = v_halves(b);
    uint8_t r[4 * V_LANES];
    FOR_EACH(i, 2 * V_LANES) { r[i] = (uint8_t)x.lane[i]; r[i + 2 * V_LANES] = (uint8_t)y.lane[i]; }
    memcpy(out, r, sizeof r);
}
INLINE void v_store_high16(void *out, v_int a, v_int b) { v_store16(out, v_shr32(a, 16), v_shr32(b, 16)); }
/* float32 to float16, nearest even; only called where V_FLOAT16_STORE is 1. */
INLINE void v_store_f16(void *out, v_f32 a, v_f32 b) { (void)out; (void)a; (void)b; }

/* float32. Conversions and arithmetic round once to nearest even. */
INLINE v_f32 vf_set(float a) EACH32(v_f32, a)
INLINE v_f32 vf_from_int(v_int a) { v_half h = v_halves(a); EACH32(v_f32, (float)(int32_t)h.lane[i]) }
INLINE v_f32 vf_add(v_f32 a, v_f32 b) EACH32(v_f32, a.lane[i] + b.lane[i])
INLINE v_f32 vf_mul(v_f32 a, v_f32 b) EACH32(v_f32, a.lane[i] * b.lane[i])
INLINE v_f32 vf_div(v_f32 a, v_f32 b) EACH32(v_f32, a.lane[i] / b.lane[i])
INLINE v_f32 vf_fma(v_f32 a, v_f32 b, v_f32 c) EACH32(v_f32, fmaf(a.lane[i], b.lane[i], c.lane[i]))
INLINE v_f32 vf_sqrt(v_f32 a) EACH32(v_f32, sqrtf(a.lane[i]))
/* min and max return b when a and b compare equal. */
INLINE v_f32 vf_min(v_f32 a, v_f32 b) EACH32(v_f32, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
INLINE v_f32 vf_max(v_f32 a, v_f32 b) EACH32(v_f32, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
/* Lane by lane: `set` where the sign bit of s is set, else `clear`. */
INLINE v_f32 vf_by_sign(v_int s, v_f32 set, v_f32 clear) { v_half h = v_halves(s); EACH32(v_f32, h.lane[i] >> 31 ? set.lane[i] : clear.lane[i]) }
INLINE v_f32 vf_by_bit(v_int b, int bit, v_f32 set, v_f32 clear) { return vf_by_sign(v_shl32(b, 31 - bit), set, clear); }
/* Of a positive normal number: m in [1, 2) and e with a == m * 2^e. */
INLINE v_f32 vf_exponent(v_f32 a) { v_half h = v_halves(vf_as_int(a)); EACH32(v_f32, (float)((int32_t)(h.lane[i] >> 23) - 127)) }
INLINE v_f32 vf_mantissa(v_f32 a) { return v_as_f32(v_or(v_and(vf_as_int(a), v_set32(0x007fffff)), v_set32(0x3f800000))); }

/* float64: the same. */
INLINE v_f64 vd_set(double a) EACH64(v_f64, a)
INLINE v_f64 vd_from_int(v_int a) EACH64(v_f64, (double)(int64_t)a.lane[i])
INLINE v_f64 vd_add(v_f64 a, v_f64 b) EACH64(v_f64, a.lane[i] + b.lane[i])
INLINE v_f64 vd_sub(v_f64 a, v_f64 b) EACH64(v_f64, a.lane[i] - b.lane[i])
INLINE v_f64 vd_mul(v_f64 a, v_f64 b) EACH64(v_f64, a.lane[i] * b.lane[i])
INLINE v_f64 vd_div(v_f64 a, v_f64 b) EACH64(v_f64, a.lane[i] / b.lane[i])
INLINE v_f64 vd_fma(v_f64 a, v_f64 b, v_f64 c) EACH64(v_f64, fma(a.lane[i], b.lane[i], c.lane[i]))
INLINE v_f64 vd_sqrt(v_f64 a) EACH64(v_f64, sqrt(a.lane[i]))
INLINE v_f64 vd_min(v_f64 a, v_f64 b) EACH64(v_f64, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i])
INLINE v_f64 vd_max(v_f64 a, v_f64 b) EACH64(v_f64, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i])
INLINE v_f64 vd_by_sign(v_int s, v_f64 set, v_f64 clear) EACH64(v_f64, s.lane[i] >> 63 ? set.lane[i] : clear.lane[i])
INLINE v_f64 vd_by_bit(v_int b, int bit, v_f64 set, v_f64 clear) { return vd_by_sign(v_shl64(b, 63 - bit), set, clear); }
INLINE v_f64 vd_exponent(v_f64 a) { v_int h = vd_as_int(a); EACH64(v_f64, (double)((int64_t)(h.lane[i] >> 52) - 1023)) }
INLINE v_f64 vd_mantissa(v_f64 a) { return v_as_f64(v_or(v_and(vd_as_int(a), v_set64(0x000fffffffffffff)), v_set64(0x3ff0000000000000))); }
/* Rounded to float32: one in the low half of each lane, the other in the high half. */
INLINE v_f32 vd_narrow(v_f64 low, v_f64 high) { v_f32 r; FOR_EACH(i, V_LANES) { r.lane[2 * i] = (float)low.lane[i]; r.lane[2 * i + 1] = (float)high.lane[i]; } return r; }

#undef EACH64
#undef EACH32
