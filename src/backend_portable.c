#include "initfast.h"
#include "compiler.h"

#include "simd_portable.h"
enum { GROUPS = 1, GROUPS_TRUNCATED = 1 };
#include "kernels.h"

const initfast_backend initfast_backend_portable = BACKEND("portable", initfast_measure_portable);
