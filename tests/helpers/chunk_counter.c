/* The chunks into which src/threads.c divides a part whose moments are measured. */
#include "threads.c"

/* Returns the number of chunks, and the elements of a chunk and of a slice. */
uint64_t measured_chunks(uint64_t total, uint32_t itemsize, uint64_t *chunk, uint64_t *slice) {
    const initfast_source source = {.itemsize = itemsize};
    job j = {.source = &source, .total = total};
    const size_t chunks = choose_measured_chunks(&j);
    *chunk = j.chunk;
    *slice = SLICE;
    return chunks;
}
