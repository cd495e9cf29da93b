/* A part on several threads. They are created for the call and joined at its end, so that nothing
 * outlives it and a fork finds nothing to inherit. Threads take chunks from one counter; no value
 * depends on the thread that makes it. */
#define _GNU_SOURCE /* the CPU of a thread */
#include "initfast.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum {
    /* A huge page: its first touch, and its page fault, belong to one thread. */
    CHUNK_BYTES = 2 << 20,
    /* 80 us and more: for fewer blocks, starting a thread costs more than it saves. */
    LEAST_BLOCKS_A_THREAD = 1 << 16,
    CHUNKS_BETWEEN_POLLS = 64,
};

/* Kernels of some virtual machines leave a new thread where it was made, behind its maker, for
 * milliseconds. Set before the thread exists: pthread_setaffinity_np of a thread that has already
 * ended sets the caller's own affinity. */
static void place_elsewhere(pthread_attr_t *attributes) {
#if defined(__GLIBC__)
    cpu_set_t cpus;
    const int here = sched_getcpu();
    if (here < 0 || here >= CPU_SETSIZE || sched_getaffinity(0, sizeof cpus, &cpus)) return;
    CPU_CLR(here, &cpus);
    if (CPU_COUNT(&cpus)) pthread_attr_setaffinity_np(attributes, sizeof cpus, &cpus);
#else
    (void)attributes;
#endif
}

typedef struct {
    const initfast_backend *backend;
    const initfast_source *source;
    uint64_t seed, stream;
    const initfast_part *part;
    /* In elements. The first chunk is short by skew, so that the others begin on a huge page. */
    uint64_t total, chunk, skew;
    atomic_ullong next; /* the number of the next chunk */
} job;

/* The next chunk; 0 when none is left. */
static int work_once(job *j) {
    uint64_t number = atomic_fetch_add(&j->next, 1);
    if (number > j->total / j->chunk + 1) return 0;
    uint64_t begin = number * j->chunk, end = begin + j->chunk - j->skew;
    begin = begin < j->skew ? 0 : begin - j->skew;
    if (begin >= j->total) return 0;
    initfast_fill(j->backend, j->source, j->seed, j->stream, j->part, begin,
                  end < j->total ? end : j->total);
    return 1;
}

static void *work(void *argument) {
    while (work_once(argument)) {}
    return NULL;
}

static int start(pthread_t *thread, job *j) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return 0;
    place_elsewhere(&attributes);
    /* Where an affinity may not be set, a thread anywhere is better than none. */
    const int failed =
        pthread_create(thread, &attributes, work, j) && pthread_create(thread, NULL, work, j);
    pthread_attr_destroy(&attributes);
    return !failed;
}

int initfast_fill_threaded(const initfast_backend *backend, const initfast_source *source,
                           uint64_t seed, uint64_t stream, const initfast_part *part, int threads,
                           initfast_poll *poll) {
    job j = {
        .backend = backend,
        .source = source,
        .seed = seed,
        .stream = stream,
        .part = part,
        .total = 1,
    };
    const uint64_t itemsize = source->itemsize;
    for (int d = 0; d < part->dimensions; d++) j.total *= part->shape[d];
    uint64_t useful = j.total / LEAST_BLOCKS_A_THREAD / (itemsize == 8 ? 2 : 4);
    if ((uint64_t)threads > useful) threads = useful ? (int)useful : 1;
    if (threads > INITFAST_THREADS) threads = INITFAST_THREADS;

    j.chunk = CHUNK_BYTES / itemsize;
    if (j.total / j.chunk < 4 * (uint64_t)threads) {
        j.chunk = j.total / (2 * (uint64_t)threads) + 1;
        if (threads == 1) j.chunk = j.total + 1;
    } else if (part->dimensions == 1 && part->stride[0] == (int64_t)itemsize) {
        j.skew = (uintptr_t)part->out % CHUNK_BYTES / itemsize;
    }

    pthread_t others[INITFAST_THREADS];
    int started = 0, stopped = 0;
    while (started < threads - 1 && start(&others[started], &j)) started++;
    for (uint64_t done = 1; work_once(&j); done++) {
        if (poll && done % CHUNKS_BETWEEN_POLLS == 0 && poll()) {
            atomic_store(&j.next, UINT64_MAX / 2);
            stopped = 1;
            break;
        }
    }
    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
    return stopped;
}
