/* Several threads fill whole buffers and disjoint windows of one buffer at once, each fill on up to 4 threads. For TSan, and to check that the bytes
 * equal those of one thread. `threads_stress ROUNDS`. */
#include "initfast.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLERS = 6, ROWS = 60, COLUMNS = 20011, TOTAL = ROWS * COLUMNS };

static const initfast_source SOURCE = {.distribution = INITFAST_NORMAL, .dtype = INITFAST_FLOAT32, .itemsize = 4, .scale = 1};
static const initfast_backend *backend;
static float wanted[TOTAL], shared[TOTAL];
static int rounds = 3;

static int stop_at_once(void) { return 1; }

static void *caller(void *argument) {
    const int number = (int)(intptr_t)argument;
    float *own = malloc(sizeof wanted);
    for (int round = 0; round < rounds; round++) {
        /* A whole buffer of this thread. */
        initfast_part whole = {.dimensions = 1, .shape = {TOTAL}, .step = {1}, .stride = {4}, .out = own};
        memset(own, 0xa5, sizeof wanted);
        initfast_fill_threaded(backend, &SOURCE, 7, 1, &whole, 1 + (number + round) % 4, NULL, NULL);
        if (memcmp(own, wanted, sizeof wanted)) abort();
        /* A stopped fill: its threads end, and none keeps running. */
        whole.shape[0] = TOTAL / 2;
        initfast_fill_threaded(backend, &SOURCE, 7, 1, &whole, 4, stop_at_once, NULL);
        /* Every CALLERS-th column of one shared buffer. */
        const uint64_t columns = (COLUMNS - (uint64_t)number + CALLERS - 1) / CALLERS;
        const initfast_part window = {
            .dimensions = 2, .shape = {ROWS, columns}, .step = {COLUMNS, CALLERS}, .stride = {4 * COLUMNS, 4 * CALLERS},
            .start = (uint64_t)number, .out = shared + number,
        };
        initfast_fill_threaded(backend, &SOURCE, 7, 1, &window, 2, NULL, NULL);
    }
    free(own);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc > 1) rounds = atoi(argv[1]);
    backend = initfast_best();
    const initfast_part whole = {.dimensions = 1, .shape = {TOTAL}, .step = {1}, .stride = {4}, .out = wanted};
    initfast_fill(backend, &SOURCE, 7, 1, &whole, 0, TOTAL);
    pthread_t callers[CALLERS];
    for (intptr_t i = 0; i < CALLERS; i++) {
        if (pthread_create(&callers[i], NULL, caller, (void *)i)) return 3;
    }
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    if (memcmp(shared, wanted, sizeof wanted)) return 4;
    printf("%d callers, %d rounds, %s\n", CALLERS, rounds, backend->name);
    return 0;
}
