/* [minval, maxval) on a grid of 2^24 points (float32) or 2^53 (float64): fma(k, scale, shift) with
 * scale = (maxval - minval) / 2^24, or / 2^53. */
INLINE v_f32 uniform_f32(v_int words, v_f32 scale, v_f32 shift) {
    return vf_fma(vf_from_int(v_shr32(words, 8)), scale, shift);
}

INLINE v_f64 uniform_f64(v_int words, v_f64 scale, v_f64 shift) {
    return vd_fma(vd_from_int(v_shr64(words, 11)), scale, shift);
}
