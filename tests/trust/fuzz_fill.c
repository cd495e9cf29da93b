/* Decodes a string of bytes as a fill request that the contract in initfast.h allows, and fills memory of exactly its extent. It is for libFuzzer
 * under the sanitizers, and with -DSTANDALONE for other tools: then `fuzz_fill CASES SEED` makes the strings. It aborts if an element differs from
 * the same element filled alone, or if a byte between the elements has changed. */
#include "initfast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Enough elements for several batches and tiles, and in few cases for several threads; not under libFuzzer, which would make only such cases. */
#if defined(STANDALONE)
enum { MOST_ELEMENTS = 1 << 18 };
#else
enum { MOST_ELEMENTS = 1 << 10 };
#endif
enum { POISON = 0xA5, MANY_ELEMENTS = 1 << 10, CHECKED = 3 };

typedef struct {
    const uint8_t *at, *end;
} bytes;

static uint64_t below(bytes *b, uint64_t n) { return b->at < b->end ? *b->at++ % n : 0; }

static uint64_t word(bytes *b) {
    uint64_t made = 0;
    for (int i = 0; i < 8; i++) made = made << 8 | below(b, 256);
    return made;
}

/* free_parameters of initfast/core/truncation.py for [-1, 3], [8, 9] and [-40, -37]. */
static const double FREE[3][INITFAST_FREE_PARAMETERS] = {
    {0x1.44ed0bb7cb20bp-3, 0x1.61de1f985b5d7p-10, 0x1.ae13ce02410a2p-1, 0x1.24d6e653d1f80p-55, -0x1.5d897a241a6fap-2, -0x1.a4bf22e9ef2ddp-56, 0x0.0p+0, 0x0.0p+0},
    {0x1.0000000000000p+0, 0x1.0a7afbb1ee67cp-13, 0x1.668c84e11a3e0p-1, -0x1.38bcbcaa53b92p-56, 0x1.0000000000000p+0, 0x0.0p+0, 0x1.1542457337d43p+6, 0x1.0000000000000p+0},
    {0x1.2520f83aa3937p-167, 0x1.0000000000000p+0, 0x1.eaccc6bfeb0afp-1, -0x1.b3ce05f16e67ap-55, -0x1.8000000000000p+1, 0x0.0p+0, 0x1.587e80881e53dp+10, 0x1.0000000000000p+0},
};

static initfast_source a_source(bytes *b) {
    static const uint32_t sizes[INITFAST_DTYPES] = {4, 8, 2, 2, 1, 1, 4};
    static const double scales[] = {1, 0.02, 3.5, 0}, shifts[] = {0, 1, -2.5};
    initfast_source s = {.distribution = (initfast_distribution)below(b, INITFAST_DISTRIBUTIONS + 1)};
    const int bits = s.distribution == INITFAST_BITS || s.distribution == INITFAST_BITS_7;
    s.dtype = bits ? INITFAST_UINT32 : (initfast_dtype)below(b, INITFAST_UINT32);
    s.itemsize = sizes[s.dtype];
    if (s.distribution == INITFAST_CONSTANT) {
        s.itemsize = 1u << below(b, 4);
        s.pattern = word(b);
    }
    s.scale = scales[below(b, 4)];
    s.shift = shifts[below(b, 3)];
    s.low = -4;
    s.high = 4;
    memcpy(s.free, FREE[below(b, 3)], sizeof s.free);
    return s;
}

/* Sizes of a part, up to `most`: mostly small, some as long as several tiles, few large enough for a second thread. */
static uint64_t a_size(bytes *b, uint64_t most) {
    const uint64_t kind = below(b, 16);
    uint64_t n = kind < 9 ? below(b, 6) : kind < 15 ? below(b, 256) * (1 + below(b, 8)) + below(b, 4) : (below(b, 256) << 8) + 1;
    return n < most ? n : most;
}

static void fail(const char *what, const initfast_source *s, uint64_t element) {
    fprintf(stderr, "fuzz_fill: %s: distribution %d, dtype %d, element %llu\n", what, (int)s->distribution, (int)s->dtype,
            (unsigned long long)element);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bytes b = {data, data + size};
    const initfast_backend *usable[8];
    size_t backends = 0;
    for (int i = 0; initfast_backends[i]; i++) {
        if (initfast_usable(initfast_backends[i])) usable[backends++] = initfast_backends[i];
    }
    /* Portable arithmetic is slow under the sanitizers, and all backends have the same loops around it. */
    const uint64_t choice = below(&b, 16);
    const initfast_backend *backend = usable[choice == 15 ? 0 : backends > 1 ? backends - 1 - choice % (backends - 1) : 0];
    const initfast_backend *other = usable[backends > 1];
    const initfast_source source = a_source(&b);
    const uint64_t seed = word(&b), stream = word(&b);
    const int threads = 1 + (int)below(&b, 4);

    initfast_part part = {.dimensions = (int)below(&b, INITFAST_DIMENSIONS + 1), .start = word(&b) >> (1 + below(&b, 63))};
    const uint64_t most = below(&b, 256) == 255 ? MOST_ELEMENTS : MANY_ELEMENTS;
    static const int64_t steps[] = {1, 1, 1, 0, 2, 3, 4, 5, 8, 1000, (int64_t)1 << 40, -1, -2, -3, -4, -7};
    uint64_t total = 1, *starts = NULL, span = source.itemsize, before = 0;
    int order[INITFAST_DIMENSIONS];
    for (int d = 0; d < part.dimensions; d++) {
        part.shape[d] = a_size(&b, most / (total ? total : 1));
        total *= part.shape[d];
        part.step[d] = steps[below(&b, 16)];
        /* Element numbers stay below 2^63, also if they decrease. */
        if (part.step[d] < 0) part.start += (uint64_t)-part.step[d] * part.shape[d];
        const int to = (int)below(&b, (uint64_t)d + 1);
        for (int k = d; k > to; k--) order[k] = order[k - 1];
        order[to] = d;
    }
    part.start &= ((uint64_t)1 << 62) - 1;
    for (int d = 0; d < part.dimensions; d++) part.start += part.step[d] < 0 ? (uint64_t)-part.step[d] * part.shape[d] : 0;
    if (part.dimensions && below(&b, 4) == 3) {
        starts = malloc(part.shape[0] * sizeof *starts + 1);
        for (uint64_t i = 0; i < part.shape[0]; i++) starts[i] = word(&b) >> (2 + below(&b, 60));
        part.start = part.step[0] = 0;
        for (int d = 1; d < part.dimensions; d++) part.start += part.step[d] < 0 ? (uint64_t)-part.step[d] * part.shape[d] : 0;
        part.starts = starts;
    }
    /* Dimensions in any order, forwards or backwards, with or without gaps: no two elements share a byte. */
    for (int k = 0; k < part.dimensions; k++) {
        const int d = order[k];
        const uint64_t pitch = span + source.itemsize * (below(&b, 3) == 2 ? below(&b, 4) : 0);
        if (part.shape[d] == 0) continue;
        const uint64_t reach = pitch * (part.shape[d] - 1);
        const int backwards = below(&b, 4) == 3;
        part.stride[d] = backwards ? -(int64_t)pitch : (int64_t)pitch;
        before += backwards ? reach : 0;
        span += reach;
        if (span > most * 32) {
            total = 0; /* too sparse to try */
            break;
        }
    }
    if (total == 0) {
        uint8_t none;
        part.out = &none;
        memset(part.stride, 0, sizeof part.stride);
        if (part.dimensions) part.shape[0] = 0;
        if (part.dimensions) initfast_fill_threaded(backend, &source, seed, stream, &part, threads, NULL, NULL);
        free(starts);
        return 0;
    }
    uint8_t *memory = malloc(span), *held = calloc(1, span);
    memset(memory, POISON, span);
    part.out = memory + before;
    initfast_fill_threaded(backend, &source, seed, stream, &part, threads, NULL, NULL);

    /* Each computes a whole tile, so only a few are checked, different ones in each case. */
    const uint64_t every = total / CHECKED + 1, chosen = seed % every;
    for (uint64_t position = 0; position < total; position++) {
        uint64_t rest = position, element = part.start;
        int64_t offset = 0;
        for (int d = part.dimensions - 1; d >= 0; d--) {
            const uint64_t i = rest % part.shape[d];
            rest /= part.shape[d];
            element += d == 0 && starts ? starts[i] : (uint64_t)part.step[d] * i;
            offset += (int64_t)i * part.stride[d];
        }
        for (uint32_t i = 0; i < source.itemsize; i++) held[before + (uint64_t)offset + i] = 1;
        if (position % every == chosen) {
            uint8_t alone[8];
            const initfast_part one = {.start = element, .out = alone};
            initfast_fill(other, &source, seed, stream, &one, 0, 1);
            if (memcmp(memory + before + offset, alone, source.itemsize)) fail("not what it is alone", &source, element);
        }
    }
    for (uint64_t i = 0; i < span; i++) {
        if (!held[i] && memory[i] != POISON) fail("wrote between the elements", &source, i);
    }
    free(memory);
    free(held);
    free(starts);
    return 0;
}

#if defined(STANDALONE)
int main(int argc, char **argv) {
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    const long cases = argc > 1 ? atol(argv[1]) : 1000;
    for (long n = 0; n < cases; n++) {
        uint8_t data[256];
        for (size_t i = 0; i < sizeof data; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            data[i] = (uint8_t)(state >> 56);
        }
        LLVMFuzzerTestOneInput(data, sizeof data);
    }
    printf("%ld cases\n", cases);
    return 0;
}
#endif
