/* xla_fill.c: a fill as an XLA program on the CPU calls it. */
#ifndef INITFAST_XLA_FILL_H
#define INITFAST_XLA_FILL_H

#include "initfast.h"
#include "xla_ffi.h"

/* The handler. `keys` and `start` are arguments, `out` is the result, the others are attributes:
 *   keys          uint32 [batch..., 2 or 4]: seed, and the stream (0 if there is none), the high
 *                 word first
 *   start         uint32 [2]: the logical number of the first element, the high word first
 *   out           [batch..., part...]: for each key, a part of the logical array, in C order
 *   distribution  its name
 *   numbers       int64 [4 + INITFAST_FREE_PARAMETERS]: the bits of scale, shift, low, high, free
 *   shape         int64 [dims]: of the logical array */
xla_error *initfast_xla_fill(xla_frame *frame);

/* The backend of the fills, and how many threads all of them together may use, beside XLA's own. */
void initfast_xla_use(const initfast_backend *backend);
void initfast_xla_limit(int threads);

#endif
