/* Fills a part on several threads. They are created for the call and joined at its end, so that
 * they cannot break after a fork. Threads take chunks from one counter; no value depends on the
 * thread that computes it. */
#define _GNU_SOURCE /* the CPU of a thread */
#include "moments.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
    /* A huge page, so that one thread touches it first and handles its page fault. */
    CHUNK_BYTES = 2 << 20,
    /* They take at least 80 us. For fewer blocks, the start of a thread takes longer than it
     * saves. */
    LEAST_BLOCKS_A_THREAD = 1 << 16,
    /* A stopped thread ends after at most this many elements: 10 ms of the slowest kernel. */
    SLICE = 5 * INITFAST_UNIT,
    MILLISECONDS_BETWEEN_POLLS = 50,
#ifdef __OPTIMIZE__
    /* The kernels and the loops around them use 110 KB. */
    STACK_BYTES = 1 << 20,
    LEAST_STACK_BYTES = 256 << 10,
#else
    /* Without optimization, Clang stores every temporary of a kernel: more than 1 MB. */
    STACK_BYTES = 8 << 20,
    LEAST_STACK_BYTES = 4 << 20,
#endif
    /* With moments, a small part is split into at least this many chunks, so that all threads have
     * work. */
    LEAST_CHUNKS = 64,
};

/* After a stop, the number of the next chunk is at least this. */
static const uint64_t STOPPED = UINT64_MAX / 2;

/* Excludes the CPU of this thread from those of a new thread. In some virtual machines, the kernel
 * otherwise leaves the new thread waiting on the same CPU for milliseconds. The affinity is set
 * before the thread exists, because pthread_setaffinity_np of a thread that has already ended sets
 * the affinity of the caller. */
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
    /* In elements. The first chunk is shorter by `skew`, so that the others begin on a huge
     * page. */
    uint64_t total, chunk, skew;
    atomic_ullong next; /* the number of the next chunk */
    /* The sums of each chunk, or NULL. With sums, the chunks do not depend on the threads. */
    initfast_sums *sums;
    /* How many of the other threads are working. */
    int working;
    pthread_mutex_t lock;
    pthread_cond_t idle;
} job;

/* The part of a thread's chunk that is not yet filled. */
typedef struct {
    job *job;
    uint64_t begin, end;
    initfast_sums *sums;
} worker;

/* Takes the next chunk; returns 0 if none is left. */
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

/* Fills the next slice; returns 0 if none is left. */
static int work_once(worker *w) {
    job *j = w->job;
    if (w->begin == w->end) {
        if (!take(w)) return 0;
    } else if (atomic_load(&j->next) >= STOPPED) {
        return 0;
    }
    const uint64_t begin = w->begin;
    w->begin = w->end - begin > SLICE ? begin + SLICE : w->end;
    if (w->sums) {
        initfast_fill_measured(j->backend, j->source, j->seed, j->stream, j->part, begin, w->begin,
                               w->sums);
    } else {
        initfast_fill(j->backend, j->source, j->seed, j->stream, j->part, begin, w->begin);
    }
    return 1;
}

static void *work(void *argument) {
    job *j = argument;
    worker w = {.job = j};
    while (work_once(&w)) {}
    pthread_mutex_lock(&j->lock);
    if (--j->working == 0) pthread_cond_signal(&j->idle);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static int start(pthread_t *thread, job *j) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return 0;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    place_elsewhere(&attributes);
    /* If the system does not allow the affinity, start the thread without it. */
    const int failed =
        pthread_create(thread, &attributes, work, j) && pthread_create(thread, NULL, work, j);
    pthread_attr_destroy(&attributes);
    return !failed;
}

/* Whether this thread has enough stack left for a kernel; 1 if the size is not known. */
static int has_stack(void) {
#if defined(__linux__)
    static _Thread_local uintptr_t lowest; /* the lowest address of the stack; 0: not yet queried */
    const char here = 0;
    if (!lowest) {
        pthread_attr_t attributes;
        void *address = NULL;
        size_t size;
        if (!pthread_getattr_np(pthread_self(), &attributes)) {
            pthread_attr_getstack(&attributes, &address, &size);
            pthread_attr_destroy(&attributes);
        }
        lowest = address ? (uintptr_t)address : 1;
    }
    /* A coroutine may have a separate stack: the unsigned difference is then large. */
    return (uintptr_t)&here - lowest >= LEAST_STACK_BYTES;
#else
    return 1;
#endif
}

static uint64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Returns 1 if it was stopped. */
static int poll_and_stop(job *j, initfast_poll *poll) {
    if (!poll()) return 0;
    atomic_store(&j->next, STOPPED);
    return 1;
}

/* Works on this thread, and polls. */
static int work_here(job *j, initfast_poll *poll) {
    worker w = {.job = j};
    if (!poll || j->total <= SLICE) {
        while (work_once(&w)) {}
        return 0;
    }
    uint64_t polled = milliseconds();
    while (work_once(&w)) {
        const uint64_t now = milliseconds();
        if (now - polled < MILLISECONDS_BETWEEN_POLLS) continue;
        polled = now;
        if (poll_and_stop(j, poll)) return 1;
    }
    return 0;
}

static int wait_for_others(job *j, initfast_poll *poll) {
    int stopped = 0;
    pthread_mutex_lock(&j->lock);
    while (j->working) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += MILLISECONDS_BETWEEN_POLLS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        if (!pthread_cond_timedwait(&j->idle, &j->lock, &until) || !poll || stopped) continue;
        pthread_mutex_unlock(&j->lock); /* the poll may run a handler that fills */
        stopped = poll_and_stop(j, poll);
        pthread_mutex_lock(&j->lock);
    }
    pthread_mutex_unlock(&j->lock);
    return stopped;
}

/* Chooses chunks of whole units, independent of the number of threads; returns their number. */
static size_t choose_measured_chunks(job *j) {
    const uint64_t units = (j->total - 1) / INITFAST_UNIT + 1;
    const uint64_t most = CHUNK_BYTES / j->source->itemsize / INITFAST_UNIT;
    const uint64_t least = (units - 1) / INITFAST_CHUNKS + 1;
    uint64_t chunk = (units - 1) / LEAST_CHUNKS + 1;
    if (chunk > most) chunk = most;
    if (chunk < least) chunk = least;
    j->chunk = chunk * INITFAST_UNIT;
    return (size_t)((units - 1) / chunk + 1);
}

/* Fills on as many threads as start, including this one if its stack is large enough. */
static int fill_on_threads(job *j, int threads, initfast_poll *poll) {
    const int here = has_stack(), wanted = threads - here;
    pthread_t *others = wanted ? malloc((size_t)wanted * sizeof *others) : NULL;
    int started = 0, stopped = 0;
    if (others) {
        pthread_mutex_lock(&j->lock);
        while (started < wanted && start(&others[started], j)) j->working = ++started;
        pthread_mutex_unlock(&j->lock);
    }
    if (here) stopped = work_here(j, poll);
    if (started) stopped |= wait_for_others(j, stopped ? NULL : poll);
    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
    free(others);
    return here || started ? stopped : INITFAST_NO_MEMORY;
}

/* The number of threads that is useful, at most `threads`. */
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

/* Chooses chunks of a huge page; smaller ones if there would be few per thread; a single one for
 * one thread. */
static void choose_chunks(job *j, int threads) {
    const initfast_part *part = j->part;
    const uint64_t itemsize = j->source->itemsize;
    j->chunk = CHUNK_BYTES / itemsize;
    if (j->total / j->chunk < 4 * (uint64_t)threads) {
        j->chunk = j->total / (2 * (uint64_t)threads) + 1;
        if (threads == 1) j->chunk = j->total + 1;
    } else if (part->dimensions == 1 && part->stride[0] == (int64_t)itemsize) {
        j->skew = (uintptr_t)part->out % CHUNK_BYTES / itemsize;
    }
}

int initfast_fill_threaded(const initfast_backend *backend, const initfast_source *source,
                           uint64_t seed, uint64_t stream, const initfast_part *part, int threads,
                           initfast_poll *poll, initfast_moments *moments) {
    job j = {
        .backend = backend,
        .source = source,
        .seed = seed,
        .stream = stream,
        .part = part,
        .total = count_elements(part),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .idle = PTHREAD_COND_INITIALIZER,
    };
    threads = count_threads(&j, threads);
    if (!moments) {
        choose_chunks(&j, threads);
        return fill_on_threads(&j, threads, poll);
    }
    const size_t chunks = choose_measured_chunks(&j);
    j.sums = malloc(chunks * sizeof *j.sums);
    if (!j.sums) return INITFAST_NO_MEMORY;
    for (size_t i = 0; i < chunks; i++) j.sums[i] = initfast_no_sums;
    const int stopped = fill_on_threads(&j, threads, poll);
    if (!stopped) *moments = initfast_moments_of(source, j.sums, chunks, j.total);
    free(j.sums);
    return stopped;
}
