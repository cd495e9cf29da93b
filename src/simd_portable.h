/* The verbs (vector operations) in plain C, which define their meaning. A vector has V_LANES lanes
 * of 64 bits; each is also two lanes of 32 bits, the low half first. The other simd_*.h define the
 * same verbs with one or a few instructions.
 * The lanes are written out instead of looped over: GCC then keeps each lane in a register from the
 * start, and compiles this backend four times as fast. */
#include <math.h>
#include <string.h>

#define V_LANES 2
#define V_FLOAT16_STORE 0
#define V_ONE_LOOP 1

/* Integers are stored as lanes of 32 bits. LANE64 reads lane i of 64 bits, v_pack joins two. */
typedef struct { uint32_t lane[2 * V_LANES]; } v_int;
typedef struct { float lane[2 * V_LANES]; } v_f32;
typedef struct { double lane[V_LANES]; } v_f64;
#define LANE64(a, i) ((a).lane[2 * (i)] | (uint64_t)(a).lane[2 * (i) + 1] << 32)

/* The body of a verb: returns a vector whose lane i has this value, for each i. */
#define LANE(n, value) { enum { i = n }; r_.lane[i] = (value); }
#define EACH64(TYPE, value) TYPE r_; LANE(0, value) LANE(1, value) return r_
#define EACH32(TYPE, value) \
    TYPE r_; LANE(0, value) LANE(1, value) LANE(2, value) LANE(3, value) return r_

/* The same bits with another type. */
typedef union {
    float value;
    uint32_t bits;
} float_union;
typedef union {
    double value;
    uint64_t bits;
} double_union;
INLINE uint32_t float_bits(float a) { return (float_union){.value = a}.bits; }
INLINE float float_of(uint32_t a) { return (float_union){.bits = a}.value; }
INLINE uint64_t double_bits(double a) { return (double_union){.value = a}.bits; }
INLINE double double_of(uint64_t a) { return (double_union){.bits = a}.value; }
INLINE v_int v_pack(uint64_t a, uint64_t b) {
    return (v_int){{(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)}};
}
INLINE v_f32 v_as_f32(v_int a) { EACH32(v_f32, float_of(a.lane[i])); }
INLINE v_f64 v_as_f64(v_int a) { EACH64(v_f64, double_of(LANE64(a, i))); }
INLINE v_int vf_as_int(v_f32 a) { EACH32(v_int, float_bits(a.lane[i])); }
INLINE v_int vd_as_int(v_f64 a) { return v_pack(double_bits(a.lane[0]), double_bits(a.lane[1])); }

/* Integers. The number in a name is the width of the lanes; arithmetic wraps. */
INLINE v_int v_set64(uint64_t a) { return v_pack(a, a); }
INLINE v_int v_set32(uint32_t a) { EACH32(v_int, a); }
INLINE v_int v_and(v_int a, v_int b) { EACH32(v_int, a.lane[i] & b.lane[i]); }
INLINE v_int v_or(v_int a, v_int b) { EACH32(v_int, a.lane[i] | b.lane[i]); }
INLINE v_int v_xor3(v_int a, v_int b, v_int c) { EACH32(v_int, a.lane[i] ^ b.lane[i] ^ c.lane[i]); }
/* a ^ (b & mask). */
INLINE v_int v_xor_masked(v_int a, v_int b, v_int mask) {
    EACH32(v_int, a.lane[i] ^ (b.lane[i] & mask.lane[i]));
}
INLINE v_int v_add64(v_int a, v_int b) {
    return v_pack(LANE64(a, 0) + LANE64(b, 0), LANE64(a, 1) + LANE64(b, 1));
}
INLINE v_int v_shr64(v_int a, int n) { return v_pack(LANE64(a, 0) >> n, LANE64(a, 1) >> n); }
INLINE v_int v_shl64(v_int a, int n) { return v_pack(LANE64(a, 0) << n, LANE64(a, 1) << n); }
INLINE v_int v_add32(v_int a, v_int b) { EACH32(v_int, a.lane[i] + b.lane[i]); }
INLINE v_int v_sub32(v_int a, v_int b) { EACH32(v_int, a.lane[i] - b.lane[i]); }
INLINE v_int v_shr32(v_int a, int n) { EACH32(v_int, a.lane[i] >> n); }
INLINE v_int v_shl32(v_int a, int n) { EACH32(v_int, a.lane[i] << n); }
/* a + 1 if b has this bit, else a, for each lane of 32 bits. */
INLINE v_int v_add_bit(v_int a, v_int b, int bit) {
    return v_add32(a, v_and(v_shr32(b, bit), v_set32(1)));
}
/* The low halves of each lane of 64 bits: their product in 64 bits, or both joined in one lane. */
INLINE v_int v_mul_wide(v_int a, v_int b) {
    return v_pack((uint64_t)a.lane[0] * b.lane[0], (uint64_t)a.lane[2] * b.lane[2]);
}
INLINE v_int v_pair(v_int low, v_int high) {
    return (v_int){{low.lane[0], high.lane[0], low.lane[2], high.lane[2]}};
}

/* Order. zip works within each 128 bits: it takes lanes of a and b in turn, from the even lanes of
 * 64 bits (low) or from the odd ones (high). v_load_blocks orders V_LANES numbers so that zip_low
 * and zip_high of their results are in the order of the numbers. */
INLINE v_int v_load_blocks(const uint64_t *p) { return v_pack(p[0], p[1]); }
INLINE v_int v_zip32_low(v_int a, v_int b) {
    return (v_int){{a.lane[0], b.lane[0], a.lane[1], b.lane[1]}};
}
INLINE v_int v_zip32_high(v_int a, v_int b) {
    return (v_int){{a.lane[2], b.lane[2], a.lane[3], b.lane[3]}};
}
INLINE v_int v_zip64_low(v_int a, v_int b) {
    return (v_int){{a.lane[0], a.lane[1], b.lane[0], b.lane[1]}};
}
INLINE v_int v_zip64_high(v_int a, v_int b) {
    return (v_int){{a.lane[2], a.lane[3], b.lane[2], b.lane[3]}};
}

/* Loads a vector from memory with any alignment, without a change of order. */
INLINE v_int v_load(const void *p) {
    v_int r;
    memcpy(&r, p, sizeof r);
    return r;
}

/* Stores two vectors one after the other: all bits, or the low 16 bits, the low 8 bits or the high
 * 16 bits of each lane of 32 bits. Any alignment. */
#define STORE(TYPE, out, ...) TYPE r_[] = {__VA_ARGS__}; memcpy(out, r_, sizeof r_)
#define STORE_LANES(TYPE, out, a, b) \
    STORE(TYPE, out, (TYPE)(a).lane[0], (TYPE)(a).lane[1], (TYPE)(a).lane[2], (TYPE)(a).lane[3], \
          (TYPE)(b).lane[0], (TYPE)(b).lane[1], (TYPE)(b).lane[2], (TYPE)(b).lane[3])
INLINE void v_store(void *out, v_int a, v_int b) {
    STORE(uint64_t, out, LANE64(a, 0), LANE64(a, 1), LANE64(b, 0), LANE64(b, 1));
}
INLINE void v_store16(void *out, v_int a, v_int b) { STORE_LANES(uint16_t, out, a, b); }
INLINE void v_store8(void *out, v_int a, v_int b) { STORE_LANES(uint8_t, out, a, b); }
INLINE void v_store_high16(void *out, v_int a, v_int b) {
    v_store16(out, v_shr32(a, 16), v_shr32(b, 16));
}
/* float32 to float16, to nearest even; only called if V_FLOAT16_STORE is 1. */
INLINE void v_store_f16(void *out, v_f32 a, v_f32 b) { (void)out, (void)a, (void)b; }

/* float32. Conversions and arithmetic round once, to nearest even. */
INLINE v_f32 vf_set(float a) { EACH32(v_f32, a); }
INLINE v_f32 vf_from_int(v_int a) { EACH32(v_f32, (float)(int32_t)a.lane[i]); }
INLINE v_f32 vf_add(v_f32 a, v_f32 b) { EACH32(v_f32, a.lane[i] + b.lane[i]); }
INLINE v_f32 vf_mul(v_f32 a, v_f32 b) { EACH32(v_f32, a.lane[i] * b.lane[i]); }
INLINE v_f32 vf_div(v_f32 a, v_f32 b) { EACH32(v_f32, a.lane[i] / b.lane[i]); }
INLINE v_f32 vf_fma(v_f32 a, v_f32 b, v_f32 c) {
    EACH32(v_f32, fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
INLINE v_f32 vf_sqrt(v_f32 a) { EACH32(v_f32, sqrtf(a.lane[i])); }
/* min and max return b when a and b compare equal. */
INLINE v_f32 vf_min(v_f32 a, v_f32 b) {
    EACH32(v_f32, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
INLINE v_f32 vf_max(v_f32 a, v_f32 b) {
    EACH32(v_f32, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
/* One bit per lane, the lowest for the first: whether a < low or a > high. */
#define OUTSIDE(i) ((unsigned)((a.lane[i] < low.lane[i]) | (a.lane[i] > high.lane[i])) << (i))
INLINE unsigned vf_outside(v_f32 a, v_f32 low, v_f32 high) {
    return OUTSIDE(0) | OUTSIDE(1) | OUTSIDE(2) | OUTSIDE(3);
}
/* For each lane: `set` if the sign bit of s is set, else `clear`. There is no branch, because signs
 * are random and half of the predictions would be wrong. */
INLINE uint32_t bits_by_sign(uint32_t s, uint32_t set, uint32_t clear) {
    return clear ^ ((clear ^ set) & (0 - (s >> 31)));
}
INLINE v_f32 vf_by_sign(v_int s, v_f32 set, v_f32 clear) {
    EACH32(v_f32,
           float_of(bits_by_sign(s.lane[i], float_bits(set.lane[i]), float_bits(clear.lane[i]))));
}
INLINE v_f32 vf_by_bit(v_int b, int bit, v_f32 set, v_f32 clear) {
    return vf_by_sign(v_shl32(b, 31 - bit), set, clear);
}
/* For a positive normal number a: m in [1, 2) and e, with a == m * 2^e. */
INLINE v_f32 vf_exponent(v_f32 a) {
    return vf_from_int(v_sub32(v_shr32(vf_as_int(a), 23), v_set32(127)));
}
INLINE v_f32 vf_mantissa(v_f32 a) {
    return v_as_f32(v_or(v_and(vf_as_int(a), v_set32(0x007fffff)), v_set32(0x3f800000)));
}

/* float64: the same verbs. vd_by_sign may branch: GCC then computes a rare tail only if it is
 * used. */
INLINE v_f64 vd_set(double a) { EACH64(v_f64, a); }
INLINE v_f64 vd_from_int(v_int a) { EACH64(v_f64, (double)(int64_t)LANE64(a, i)); }
INLINE v_f64 vd_add(v_f64 a, v_f64 b) { EACH64(v_f64, a.lane[i] + b.lane[i]); }
INLINE v_f64 vd_sub(v_f64 a, v_f64 b) { EACH64(v_f64, a.lane[i] - b.lane[i]); }
INLINE v_f64 vd_mul(v_f64 a, v_f64 b) { EACH64(v_f64, a.lane[i] * b.lane[i]); }
INLINE v_f64 vd_div(v_f64 a, v_f64 b) { EACH64(v_f64, a.lane[i] / b.lane[i]); }
INLINE v_f64 vd_fma(v_f64 a, v_f64 b, v_f64 c) {
    EACH64(v_f64, fma(a.lane[i], b.lane[i], c.lane[i]));
}
INLINE v_f64 vd_sqrt(v_f64 a) { EACH64(v_f64, sqrt(a.lane[i])); }
INLINE v_f64 vd_min(v_f64 a, v_f64 b) {
    EACH64(v_f64, a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
INLINE v_f64 vd_max(v_f64 a, v_f64 b) {
    EACH64(v_f64, a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
INLINE unsigned vd_outside(v_f64 a, v_f64 low, v_f64 high) { return OUTSIDE(0) | OUTSIDE(1); }
/* One bit per lane: its sign. */
INLINE unsigned vd_signs(v_f64 a) {
    return (unsigned)(double_bits(a.lane[0]) >> 63 | double_bits(a.lane[1]) >> 63 << 1);
}
INLINE void vd_store(double *out, v_f64 a) { memcpy(out, &a, sizeof a); }
INLINE v_f64 vd_by_sign(v_int s, v_f64 set, v_f64 clear) {
    EACH64(v_f64, LANE64(s, i) >> 63 ? set.lane[i] : clear.lane[i]);
}
INLINE v_f64 vd_by_bit(v_int b, int bit, v_f64 set, v_f64 clear) {
    return vd_by_sign(v_shl64(b, 63 - bit), set, clear);
}
INLINE v_f64 vd_exponent(v_f64 a) {
    EACH64(v_f64, (double)((int64_t)(double_bits(a.lane[i]) >> 52) - 1023));
}
INLINE v_f64 vd_mantissa(v_f64 a) {
    return v_as_f64(
        v_or(v_and(vd_as_int(a), v_set64(0x000fffffffffffff)), v_set64(0x3ff0000000000000)));
}
/* Both rounded to float32: the first in the low half of each lane, the second in the high half. */
INLINE v_f32 vd_narrow(v_f64 low, v_f64 high) {
    return (v_f32){
        {(float)low.lane[0], (float)high.lane[0], (float)low.lane[1], (float)high.lane[1]}};
}

#undef EACH64
#undef EACH32
#undef LANE
#undef STORE
#undef OUTSIDE
#undef STORE_LANES
