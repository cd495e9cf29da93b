/* A part on several threads. They are created for the call and joined at its end, so that nothing
 * outlives it and a fork finds nothing to inherit. Threads take chunks from one counter; no value
 * depends on the thread that makes it. */
#define _GNU_SOURCE /* the CPU of a thread */
#include "moments.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum {
    /* A huge page: its first touch, and its page fault, belong to one thread. */
    CHUNK_BYTES = 2 << 20,
    /* 80 us and more: for fewer blocks, starting a thread costs more than it saves. */
    LEAST_BLOCKS_A_THREAD = 1 << 16,
    CHUNKS_BETWEEN_POLLS = 64,
    /* Small parts that are measured are cut into so many chunks, for the threads to share. */
    LEAST_CHUNKS = 64,
};

/* The number of the next chunk, once the fill is stopped, or more. */
static const uint64_t STOPPED = UINT64_MAX / 2;

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
    /* The sums of each chunk, or NULL. They have chunks that do not depend on threads; a long one
     * is filled a slice at a time. */
    initfast_sums *sums;
    uint64_t slice;
} job;

/* What is left of a thread's chunk. */
typedef struct {
    job *job;
    uint64_t begin, end;
    initfast_sums *sums;
} worker;

/* The next chunk; 0 when none is left. */
static int take(worker *w) {
    job *j = w->job;
    uint64_t number = atomic_fetch_add(&j->next, 1);
    if (number > j->total / j->chunk + 1) return 0;
    uint64_t begin = number * j->chunk, end = begin + j->chunk - j->skew;
    begin = begin < j->skew ? 0 : begin - j->skew;
    if (begin >= j->total) return 0;
    w->begin = begin;
    w->end = end < j->total ? end : j->total;
    if (j->sums) w->sums = &j->sums[number];
    return 1;
}

/* The next slice; 0 when none is left. */
static int work_once(worker *w) {
    job *j = w->job;
    if (w->begin == w->end) {
        if (!take(w)) return 0;
    } else if (atomic_load(&j->next) >= STOPPED) {
        return 0;
    }
    const uint64_t begin = w->begin;
    w->begin = w->end - begin > j->slice ? begin + j->slice : w->end;
    if (w->sums) {
        initfast_fill_measured(j->backend, j->source, j->seed, j->stream, j->part, begin, w->begin,
                               w->sums);
    } else {
        initfast_fill(j->backend, j->source, j->seed, j->stream, j->part, begin, w->begin);
    }
    return 1;
}

static void *work(void *argument) {
    worker w = {.job = argument};
    while (work_once(&w)) {}
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

/* Chunks of whole units, as many for any number of threads; returns how many. */
static size_t choose_measured_chunks(job *j, initfast_sums *sums) {
    const uint64_t units = (j->total - 1) / INITFAST_UNIT + 1;
    const uint64_t most = CHUNK_BYTES / j->source->itemsize / INITFAST_UNIT;
    const uint64_t least = (units - 1) / INITFAST_CHUNKS + 1;
    uint64_t chunk = (units - 1) / LEAST_CHUNKS + 1;
    if (chunk > most) chunk = most;
    if (chunk < least) chunk = least;
    j->chunk = chunk * INITFAST_UNIT;
    j->slice = most * INITFAST_UNIT;
    j->sums = sums;
    const size_t chunks = (size_t)((units - 1) / chunk + 1);
    for (size_t i = 0; i < chunks; i++) sums[i] = initfast_no_sums;
    return chunks;
}

static int fill_on_threads(job *j, int threads, initfast_poll *poll) {
    pthread_t others[INITFAST_THREADS];
    int started = 0, stopped = 0;
    while (started < threads - 1 && start(&others[started], j)) started++;
    worker w = {.job = j};
    for (uint64_t done = 1; work_once(&w); done++) {
        if (poll && done % CHUNKS_BETWEEN_POLLS == 0 && poll()) {
            atomic_store(&j->next, STOPPED);
            stopped = 1;
            break;
        }
    }
    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
    return stopped;
}

/* As many threads as are useful. */
static int count_threads(const job *j, int threads) {
    uint64_t useful = j->total / LEAST_BLOCKS_A_THREAD / (j->source->itemsize == 8 ? 2 : 4);
    if ((uint64_t)threads > useful) threads = useful ? (int)useful : 1;
    return threads > INITFAST_THREADS ? INITFAST_THREADS : threads;
}

static uint64_t count_elements(const initfast_part *part) {
    uint64_t total = 1;
    for (int d = 0; d < part->dimensions; d++) total *= part->shape[d];
    return total;
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
        .total = count_elements(part),
    };
    const uint64_t itemsize = source->itemsize;
    threads = count_threads(&j, threads);
    j.chunk = CHUNK_BYTES / itemsize;
    if (j.total / j.chunk < 4 * (uint64_t)threads) {
        j.chunk = j.total / (2 * (uint64_t)threads) + 1;
        if (threads == 1) j.chunk = j.total + 1;
    } else if (part->dimensions == 1 && part->stride[0] == (int64_t)itemsize) {
        j.skew = (uintptr_t)part->out % CHUNK_BYTES / itemsize;
    }
    j.slice = j.chunk;
    return fill_on_threads(&j, threads, poll);
}

int initfast_fill_threaded_measured(const initfast_backend *backend, const initfast_source *source,
                                    uint64_t seed, uint64_t stream, const initfast_part *part,
                                    int threads, initfast_poll *poll, initfast_moments *moments) {
    job j = {
        .backend = backend,
        .source = source,
        .seed = seed,
        .stream = stream,
        .part = part,
        .total = count_elements(part),
    };
    initfast_sums sums[INITFAST_CHUNKS];
    const size_t chunks = choose_measured_chunks(&j, sums);
    if (fill_on_threads(&j, count_threads(&j, threads), poll)) return 1;
    *moments = initfast_moments_of(source, sums, chunks, j.total);
    return 0;
}
