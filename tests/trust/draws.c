/* Counts for draws.py, from a run of float32 values: fine bins, 64 x 64 cells of neighbours, and products at lags 0 to 64.
 * Built as a shared library with -O3 -march=native -ffast-math -shared -fPIC: no sum here has to be exact. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum { LAGS = 65, TOGETHER = 13, BLOCK = 2048, CELLS = 64, FINE_IN_COARSE = 64 };

/* x holds n + 64 values, n a multiple of BLOCK; the last 64 are only partners of earlier ones at a lag.
 * Fine bin: floor(x * per_unit) - first, exact for a power of two; the caller guarantees that it is in [0, bins) for every x.
 * cell[fine / FINE_IN_COARSE] is the cell of a value; pairs[parity][cell of x_i][cell of x_i+1], parity that of i.
 * sums[0] = sum of x - centre, sums[1 + k] = sum of (x_i - centre)(x_i+k - centre). */
void measure(const float *x, size_t n, int32_t first, float per_unit, float centre, uint32_t *fine, const uint8_t *cell,
             uint32_t (*pairs)[CELLS][CELLS], double *sums) {
    for (int k = 0; k <= LAGS; k++) sums[k] = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        uint32_t bin[BLOCK + 1];
        uint8_t cells[BLOCK + 1];
        float moved[BLOCK + LAGS - 1];
        const float *b = x + begin;
        for (int i = 0; i < BLOCK + 1; i++) bin[i] = (uint32_t)((int32_t)floorf(b[i] * per_unit) - first);
        for (int i = 0; i < BLOCK; i++) fine[bin[i]]++;
        for (int i = 0; i < BLOCK + 1; i++) cells[i] = cell[bin[i] / FINE_IN_COARSE];
        for (int i = 0; i < BLOCK; i++) pairs[i % 2][cells[i]][cells[i + 1]]++;
        float total = 0;
        for (int i = 0; i < BLOCK + LAGS - 1; i++) moved[i] = b[i] - centre;
        for (int i = 0; i < BLOCK; i++) total += moved[i];
        sums[0] += total;
        // Several lags at a time, because one chain of additions would be limited by latency.
        for (int k = 0; k < LAGS; k += TOGETHER) {
            float product[TOGETHER] = {0};
            for (int i = 0; i < BLOCK; i++)
                for (int j = 0; j < TOGETHER; j++) product[j] += moved[i] * moved[i + k + j];
            for (int j = 0; j < TOGETHER; j++) sums[1 + k + j] += product[j];
        }
    }
}
