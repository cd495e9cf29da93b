/* The kernels that use the AVX-512 instruction for rounding to bfloat16. All other kernels are
 * those of the AVX-512 backend. */
#include "initfast.h"
#include "compiler.h"

#ifdef INITFAST_X86_64
#include <immintrin.h>
TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c,avx512bf16")
#include "simd_avx512_bf16.h"
enum { GROUPS = 6, GROUPS_TRUNCATED = 4 };
#include "tiles.h"
/* Truncated normals within free bounds may be subnormal, and the instruction treats subnormal
 * numbers as 0. */
#define EACH_KERNEL(DO)                                              \
    DO(BFLOAT16, bfloat16, 2, UNIFORM, uniform)                      \
    DO(BFLOAT16, bfloat16, 2, NORMAL, normal)                        \
    DO(BFLOAT16, bfloat16, 2, NORMAL_WITHIN, normal_within)          \
    DO(BFLOAT16, bfloat16, 2, TRUNCATED_NORMAL, truncated_normal)
EACH_KERNEL(KERNEL)
TARGET_END

extern const initfast_backend initfast_backend_avx512;
const initfast_backend initfast_backend_avx512_bf16 = {
    .name = "avx512_bf16", .base = &initfast_backend_avx512, EACH_KERNEL(CELL)};
#else
typedef int initfast_not_this_machine;
#endif
