#include "moments.h"
#include "compiler.h"

#ifdef INITFAST_AARCH64
#include <arm_neon.h>
#include "simd_neon.h"
#include "measure.h"

initfast_measure *const initfast_measure_neon[INITFAST_DTYPES] = MEASURES;
#else
typedef int initfast_not_this_machine;
#endif
