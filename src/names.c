/* The names of the dtypes and distributions, for callers that use names. */
#include "initfast.h"

#define DTYPE(NAME, name, itemsize, ...) {#name, itemsize},
#define DISTRIBUTION(NAME, name, dtypes) #name,

const initfast_dtype_row initfast_dtypes[] = {INITFAST_EACH_DTYPE(DTYPE, )};
const char *const initfast_distributions[] = {INITFAST_EACH_DISTRIBUTION(DISTRIBUTION)};
