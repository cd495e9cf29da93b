#include "moments.h"
#include "compiler.h"

#ifdef INITFAST_X86_64
#include <immintrin.h>
TARGET_BEGIN("avx2,fma,f16c")
#include "simd_avx2.h"
#include "measure.h"
TARGET_END

initfast_measure *const initfast_measure_avx2[INITFAST_DTYPES] = MEASURES;
#else
typedef int initfast_not_this_machine;
#endif
