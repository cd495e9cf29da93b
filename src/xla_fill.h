/* xla_fill.c: the fill that an XLA program on the CPU calls. */
#ifndef INITFAST_XLA_FILL_H
#define INITFAST_XLA_FILL_H

#include "initfast.h"
#include "xla_ffi.h"

/* The handler. `keys` and `start` are arguments, `out` is the result, the others are attributes:
 *   keys          uint32 [batch..., 2 or 4]: the seed and, with 4 words, the stream (default 0);
 *                 the high word first
 *   start         uint32 [2]: the logical number of the first element; the high word first
 *   out           [batch..., part...]: for each key, a part of the logical array, in C order
 *   distribution  its name
 *   numbers       int64 [4 + INITFAST_FREE_PARAMETERS]: the bits of scale, shift, low, high, free
 *   shape         int64 [dims]: of the logical array */
xla_error *initfast_xla_fill(xla_frame *frame);

/* Set the backend of the fills, and the number of threads of all fills together, in addition to
 * XLA's threads. */
void initfast_xla_use(const initfast_backend *backend);
void initfast_xla_limit(int threads);

#endif
