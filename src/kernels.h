/* All kernels of a backend, and their table. */
#include "tiles.h"

#define KERNELS(DISTRIBUTION, distribution, DTYPES) DTYPES(KERNEL, DISTRIBUTION, distribution)
INITFAST_EACH_DISTRIBUTION(KERNELS)

#define CELLS(DISTRIBUTION, distribution, DTYPES) DTYPES(CELL, DISTRIBUTION, distribution)
#define BACKEND(backend_name, loops) \
    {.name = backend_name, .measure = loops, INITFAST_EACH_DISTRIBUTION(CELLS)}
