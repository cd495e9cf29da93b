/* Every kernel over the verbs of a backend, and the table of them all. */
#include "tiles.h"
#include "measure.h"

#define KERNELS(DISTRIBUTION, distribution, DTYPES) DTYPES(KERNEL, DISTRIBUTION, distribution)
INITFAST_EACH_DISTRIBUTION(KERNELS)

INITFAST_FLOATS(MEASURE, )

#define CELLS(DISTRIBUTION, distribution, DTYPES) DTYPES(CELL, DISTRIBUTION, distribution)
#define BACKEND(backend_name) \
    {.name = backend_name, INITFAST_EACH_DISTRIBUTION(CELLS) INITFAST_FLOATS(MEASURE_CELL, )}
