/* The moments of a part. Each unit is filled, then measured while it is still in the cache. */
#include "moments.h"
#include "environment.h"

#include <math.h>

/* The number of elements that are copied at a time if the part is not contiguous. */
enum { GATHERED = 1024 };
_Static_assert(GATHERED % INITFAST_LANES == 0, "whole lanes");

/* The compiler must not move arithmetic across a change of the floating-point environment, so it is
 * in separate functions. */
#define APART __attribute__((noinline))

const initfast_sums initfast_no_sums = {0.0, 0.0, INFINITY, -INFINITY};

/* 0, or a number near the values if they are so far from 0 that the sum of squares would lose the
 * digits of the variance. */
static APART double pivot_of(const initfast_source *s) {
    double near = s->shift, spread = s->scale;
    if (s->distribution != INITFAST_NORMAL) {
        near = near < s->low ? s->low : near > s->high ? s->high : near;
        const double width = s->high - s->low;
        if (s->distribution == INITFAST_UNIFORM || width < spread) spread = width;
    }
    return near > 8.0 * spread || -near > 8.0 * spread ? near : 0.0;
}

static inline void add_sums(initfast_sums *to, const initfast_sums *sums) {
    to->sum += sums->sum;
    to->square += sums->square;
    if (sums->minimum < to->minimum) to->minimum = sums->minimum;
    if (sums->maximum > to->maximum) to->maximum = sums->maximum;
}

static APART void add_lanes(initfast_sums *to, const initfast_lanes *lanes) {
    initfast_sums unit = initfast_no_sums;
    for (int i = 0; i < INITFAST_LANES; i++) {
        const initfast_sums lane = {lanes->sum[i], lanes->square[i], lanes->minimum[i],
                                    lanes->maximum[i]};
        add_sums(&unit, &lane);
    }
    add_sums(to, &unit);
}

static int is_contiguous(const initfast_part *part, uint32_t itemsize) {
    uint64_t stride = itemsize;
    for (int d = part->dimensions - 1; d >= 0; d--) {
        if (part->stride[d] != (int64_t)stride) return 0;
        stride *= part->shape[d];
    }
    return 1;
}

static initfast_measure *measure_of(const initfast_backend *backend, initfast_dtype dtype) {
    while (!backend->measure && backend->base) backend = backend->base;
    return backend->measure[dtype];
}

void initfast_fill_measured(const initfast_backend *backend, const initfast_source *source,
                            uint64_t seed, uint64_t stream, const initfast_part *part,
                            uint64_t begin, uint64_t end, initfast_sums *sums) {
    initfast_measure *const measure = measure_of(backend, source->dtype);
    const int contiguous = is_contiguous(part, source->itemsize);
    const environment saved = environment_enter();
    const double pivot = pivot_of(source);
    while (begin < end) {
        const uint64_t stop = end - begin > INITFAST_UNIT ? begin + INITFAST_UNIT : end;
        initfast_lanes lanes;
        for (int i = 0; i < INITFAST_LANES; i++) {
            lanes.sum[i] = lanes.square[i] = 0.0;
            lanes.minimum[i] = INFINITY;
            lanes.maximum[i] = -INFINITY;
        }
        initfast_fill(backend, source, seed, stream, part, begin, stop);
        if (contiguous) {
            const char *values = (const char *)part->out + begin * source->itemsize;
            measure(values, (size_t)(stop - begin), pivot, &lanes);
        } else {
            _Alignas(8) char values[GATHERED * 8];
            for (uint64_t n; begin < stop; begin += n) {
                n = stop - begin < GATHERED ? stop - begin : GATHERED;
                initfast_gather(part, source->itemsize, begin, begin + n, values);
                measure(values, (size_t)n, pivot, &lanes);
            }
        }
        add_lanes(sums, &lanes);
        begin = stop;
    }
    environment_leave(saved);
}

static APART void finish(initfast_moments *moments, const initfast_source *source,
                         const initfast_sums *sums, size_t chunks, uint64_t count) {
    initfast_sums all = initfast_no_sums;
    for (size_t i = 0; i < chunks; i++) add_sums(&all, &sums[i]);
    const double step = all.sum / (double)count;
    double square = all.square - all.sum * step;
    /* Squares of float64 values may be infinite. Rounding errors may make the difference
     * negative. */
    if (!isfinite(all.square)) square = INFINITY;
    else if (!(square > 0.0)) square = 0.0;
    moments->mean = pivot_of(source) + step;
    moments->square = square;
    /* -0 becomes 0. */
    moments->minimum = all.minimum + 0.0;
    moments->maximum = all.maximum + 0.0;
    if (all.minimum == all.maximum) {
        moments->mean = moments->minimum;
        moments->square = 0.0;
    }
}

initfast_moments initfast_moments_of(const initfast_source *source, const initfast_sums *sums,
                                     size_t chunks, uint64_t count) {
    initfast_moments moments;
    const environment saved = environment_enter();
    finish(&moments, source, sums, chunks, count);
    environment_leave(saved);
    return moments;
}
