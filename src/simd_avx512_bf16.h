/* The verbs of simd_avx512.h, and the instruction that rounds two vectors to bfloat16. It treats
 * subnormal numbers as 0. */
#include "simd_avx512.h"
#include <string.h>
#define V_BFLOAT16_STORE 1

INLINE void v_store_bf16(void *out, v_f32 a, v_f32 b) {
    __m512bh rounded = _mm512_cvtne2ps_pbh(b, a);
    memcpy(out, &rounded, sizeof rounded);
}
