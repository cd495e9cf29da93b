#include "initfast.h"
#include "compiler.h"

#include "simd_portable.h"
enum { GROUPS = 1, GROUPS_TRUNCATED = 1, GROUPS_FREE = 1 };
#define V_FAST_FMA 0
#include "kernels.h"

const initfast_backend initfast_backend_portable = BACKEND("portable");
