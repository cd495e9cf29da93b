#include "initfast.h"
#include "compiler.h"

#include <string.h>

#ifdef INITFAST_X86_64
#include <immintrin.h>
TARGET_BEGIN("avx2,fma,f16c")
#include "simd_avx2.h"
enum { GROUPS = 4, GROUPS_TRUNCATED = 4 };
#include "kernels.h"
TARGET_END

const initfast_backend initfast_backend_avx2 = BACKEND("avx2", initfast_measure_avx2);
#else
typedef int initfast_not_this_machine;
#endif
