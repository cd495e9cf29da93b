#include "moments.h"
#include "compiler.h"

#include "simd_portable.h"
#define V_FAST_FMA 0
#include "measure.h"

initfast_measure *const initfast_measure_portable[INITFAST_DTYPES] = MEASURES;
