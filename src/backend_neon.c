#include "initfast.h"
#include "compiler.h"

#include <string.h>

#ifdef INITFAST_AARCH64
#include <arm_neon.h>
#include "simd_neon.h"
enum { GROUPS = 4, GROUPS_TRUNCATED = 4 };
#include "kernels.h"

const initfast_backend initfast_backend_neon = BACKEND("neon", initfast_measure_neon);
#else
typedef int initfast_not_this_machine;
#endif
