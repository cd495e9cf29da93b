/* Rounds float32 to 16- and 8-bit floats, to nearest even. The result is in the low bits of each
 * 32-bit lane (bfloat16: in the high bits). All values are in range, because distributions.py
 * raises ValueError for other parameters. */

/* To nearest even: adds 0x7fff, and 1 more if the last remaining bit is 1. */
INLINE v_int bfloat16_of(v_f32 value) {
    v_int x = vf_as_int(value);
    return v_add_bit(v_add32(x, v_set32(0x7fff)), x, 16);
}

/* If V_BFLOAT16_STORE is 1, v_store_bf16 is a CPU instruction for numbers that are not
 * subnormal. */
#ifndef V_BFLOAT16_STORE
#define V_BFLOAT16_STORE 0
INLINE void v_store_bf16(void *out, v_f32 a, v_f32 b) { (void)out, (void)a, (void)b; }
#endif

/* Rounds to any IEEE-like format of 1 + exponent + mantissa bits. A normal result is the float32
 * with a rounded mantissa and another exponent bias. A subnormal result is the mantissa of the sum
 * with the power of two whose last mantissa bit is the smallest step of the format. */
INLINE v_int small_float_of(v_f32 value, const int exponent_bits, const int mantissa_bits) {
    const int bias = (1 << (exponent_bits - 1)) - 1, drop = 23 - mantissa_bits;
    const uint32_t step_exponent = (uint32_t)(127 + 1 - bias - mantissa_bits + 23);
    v_int x = vf_as_int(value);
    v_int magnitude = v_and(x, v_set32(0x7fffffff));
    v_int rounded = v_shr32(
        v_add_bit(v_add32(magnitude, v_set32((1u << (drop - 1)) - 1)), magnitude, drop), drop);
    v_int normal = v_sub32(rounded, v_set32((uint32_t)(127 - bias) << mantissa_bits));
    v_int step = v_set32(step_exponent << 23);
    v_int subnormal = v_sub32(vf_as_int(vf_add(v_as_f32(magnitude), v_as_f32(step))), step);
    v_int below = v_sub32(magnitude, v_set32((uint32_t)(127 + 1 - bias) << 23));
    v_int result = vf_as_int(vf_by_sign(below, v_as_f32(subnormal), v_as_f32(normal)));
    return v_or(result, v_and(v_shr32(x, 31 - exponent_bits - mantissa_bits),
                              v_set32(1u << (exponent_bits + mantissa_bits))));
}
