#include "initfast.h"
#include "compiler.h"

#include <string.h>

#ifdef INITFAST_X86_64
#include <immintrin.h>
TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")
#include "simd_avx512.h"
enum { GROUPS = 6, GROUPS_TRUNCATED = 4 };
#include "kernels.h"
TARGET_END

const initfast_backend initfast_backend_avx512 = BACKEND("avx512", initfast_measure_avx512);
#else
typedef int initfast_not_this_machine;
#endif
