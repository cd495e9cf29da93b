/* The handler of initfast for XLA's foreign function interface. It runs on a thread of XLA, without
 * Python, and checks every argument: a program may be older than this file, or damaged. */
#define _DEFAULT_SOURCE /* madvise */
#include "xla_fill.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define MEMBERS(array) (sizeof(array) / sizeof(array)[0])

static _Atomic(const initfast_backend *) backend_in_use;

/* An XLA program on n devices calls n handlers at once, each on a thread of XLA. `helpers` is the
 * number of additional threads of all of them. */
static atomic_int limit = 1, helpers;

void initfast_xla_use(const initfast_backend *backend) { atomic_store(&backend_in_use, backend); }

void initfast_xla_limit(int threads) { atomic_store(&limit, threads); }

static int take_helpers(void) {
    int used = atomic_load(&helpers), free;
    do {
        free = atomic_load(&limit) - 1 - used;
        if (free <= 0) return 0;
    } while (!atomic_compare_exchange_weak(&helpers, &used, used + free));
    return free;
}

static const struct {
    int xla;
    initfast_dtype dtype;
} dtypes[] = {
    {XLA_F32, INITFAST_FLOAT32},        {XLA_F64, INITFAST_FLOAT64},
    {XLA_F16, INITFAST_FLOAT16},        {XLA_BF16, INITFAST_BFLOAT16},
    {XLA_F8E5M2, INITFAST_FLOAT8_E5M2}, {XLA_F8E4M3FN, INITFAST_FLOAT8_E4M3FN},
};

/* NumPy requests huge pages for large arrays, but XLA does not. With small pages, the page faults
 * of new memory take longer than the fill. */
static void ask_for_huge_pages(void *memory, uint64_t bytes) {
#if defined(MADV_HUGEPAGE)
    enum { LEAST_BYTES = 4 << 20, PAGE = 4096 };
    const uint64_t skip = -(uintptr_t)memory % PAGE;
    if (bytes >= LEAST_BYTES) madvise((char *)memory + skip, bytes - skip, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

static const xla_buffer *get_buffer(const xla_values *values, int64_t i) {
    return i < values->count && values->types[i] == XLA_BUFFER ? values->values[i] : NULL;
}

static const void *get_attribute(const xla_attributes *attributes, const char *name, int type) {
    for (int64_t i = 0; i < attributes->count; i++) {
        const xla_span *found = attributes->names[i];
        if (found->length == strlen(name) && !memcmp(found->text, name, found->length)) {
            return attributes->types[i] == type ? attributes->values[i] : NULL;
        }
    }
    return NULL;
}

static int find_distribution(const xla_span *name) {
    int code = 0;
    while (code < INITFAST_DISTRIBUTIONS &&
           (strlen(initfast_distributions[code]) != name->length ||
            memcmp(initfast_distributions[code], name->text, name->length))) {
        code++;
    }
    return code;
}

/* Reads the source; returns an error message or NULL. */
static const char *read_source(const xla_frame *frame, const xla_buffer *out,
                               initfast_source *source) {
    const xla_span *name = get_attribute(&frame->attributes, "distribution", XLA_STRING);
    const xla_array *numbers = get_attribute(&frame->attributes, "numbers", XLA_ARRAY);
    if (!name) return "distribution must be a string";
    if (!numbers || numbers->dtype != XLA_S64 || numbers->count != 4 + MEMBERS(source->free)) {
        return "numbers must be 14 int64";
    }
    size_t i = 0;
    while (i < MEMBERS(dtypes) && dtypes[i].xla != out->dtype) i++;
    if (i == MEMBERS(dtypes)) return "the result must have a floating dtype of initfast";
    memset(source, 0, sizeof *source);
    source->dtype = dtypes[i].dtype;
    source->itemsize = initfast_dtypes[source->dtype].itemsize;
    const int distribution = find_distribution(name);
    if (distribution == INITFAST_DISTRIBUTIONS ||
        !initfast_kernel(initfast_backends[0], distribution, source->dtype)) {
        return "distribution must be one that this version of initfast draws in the result's dtype";
    }
    source->distribution = distribution;
    double bits[4 + INITFAST_FREE_PARAMETERS];
    memcpy(bits, numbers->data, sizeof bits);
    source->scale = bits[0];
    source->shift = bits[1];
    source->low = bits[2];
    source->high = bits[3];
    memcpy(source->free, bits + 4, sizeof source->free);
    return NULL;
}

/* Reads the part of one key, with as few dimensions as possible; returns an error message or
 * NULL. */
static const char *read_part(const xla_frame *frame, const xla_buffer *out, uint64_t itemsize,
                             initfast_part *part) {
    const xla_array *shape = get_attribute(&frame->attributes, "shape", XLA_ARRAY);
    const xla_buffer *start = get_buffer(&frame->arguments, 1);
    if (!shape || shape->dtype != XLA_S64 || shape->count > INITFAST_DIMENSIONS ||
        (int64_t)shape->count > out->rank) {
        return "shape must be at most 8 int64, no more than the result has dims";
    }
    if (!start || start->dtype != XLA_U32 || start->rank != 1 || start->dims[0] != 2) {
        return "start must be two uint32";
    }
    const int dims = (int)shape->count;
    int64_t logical[INITFAST_DIMENSIONS], step[INITFAST_DIMENSIONS], stride[INITFAST_DIMENSIONS];
    const int64_t *size = out->dims + (out->rank - dims);
    memcpy(logical, shape->data, (size_t)dims * sizeof *logical);
    uint64_t elements = 1, bytes = itemsize;
    for (int d = dims - 1; d >= 0; d--) {
        step[d] = (int64_t)elements;
        stride[d] = (int64_t)bytes;
        elements *= (uint64_t)logical[d];
        bytes *= (uint64_t)size[d];
    }
    const uint32_t *words = start->data;
    part->start = (uint64_t)words[0] << 32 | words[1];
    part->starts = NULL;
    int n = 0;
    for (int d = 0; d < dims; d++) {
        if (size[d] == 1) continue;
        uint64_t merged = (uint64_t)size[d];
        if (n && part->step[n - 1] == step[d] * size[d] &&
            part->stride[n - 1] == stride[d] * size[d]) {
            merged *= part->shape[--n];
        }
        part->shape[n] = merged;
        part->step[n] = step[d];
        part->stride[n++] = stride[d];
    }
    if (!n) {
        part->shape[0] = 1;
        part->step[0] = 1;
        part->stride[n++] = (int64_t)itemsize;
    }
    part->dimensions = n;
    return NULL;
}

static const char no_memory[] = "a fill needs memory for the stack of a thread";

static const char *fill(const xla_frame *frame) {
    const xla_buffer *keys = get_buffer(&frame->arguments, 0),
                     *out = get_buffer(&frame->results, 0);
    if (!keys || keys->dtype != XLA_U32 || keys->rank < 1 ||
        (keys->dims[keys->rank - 1] != 2 && keys->dims[keys->rank - 1] != 4)) {
        return "keys must be uint32 words, 2 or 4 of each key";
    }
    if (!out) return "the result must be a buffer";
    initfast_source source;
    initfast_part part;
    const char *wrong = read_source(frame, out, &source);
    if (!wrong) wrong = read_part(frame, out, source.itemsize, &part);
    if (wrong) return wrong;
    const int64_t words = keys->dims[keys->rank - 1];
    uint64_t count = 1, elements = 1;
    for (int64_t d = 0; d < keys->rank - 1; d++) count *= (uint64_t)keys->dims[d];
    for (int64_t d = 0; d < out->rank; d++) elements *= (uint64_t)out->dims[d];
    if (!count || !elements) return NULL;
    uint64_t each = 1;
    for (int d = 0; d < part.dimensions; d++) each *= part.shape[d];
    if (each * count != elements) return "the result must hold one part for each key";
    ask_for_huge_pages(out->data, elements * source.itemsize);
    const initfast_backend *backend = atomic_load(&backend_in_use);
    const int helping = take_helpers();
    const uint32_t *word = keys->data;
    char *to = out->data;
    for (uint64_t i = 0; i < count; i++, word += words, to += each * source.itemsize) {
        const uint64_t seed = (uint64_t)word[0] << 32 | word[1];
        const uint64_t stream = words == 4 ? (uint64_t)word[2] << 32 | word[3] : 0;
        part.out = to;
        /* Without a poll, only a lack of memory can stop it. */
        if (initfast_fill_threaded(backend, &source, seed, stream, &part, 1 + helping, NULL,
                                   NULL)) {
            wrong = no_memory;
            break;
        }
    }
    atomic_fetch_sub(&helpers, helping);
    return wrong;
}

xla_error *initfast_xla_fill(xla_frame *frame) {
    for (xla_extension *asked = frame->extensions; asked; asked = asked->next) {
        if (asked->type != XLA_METADATA) continue;
        xla_metadata *metadata = ((xla_metadata_request *)asked)->metadata;
        metadata->version.major = XLA_VERSION_MAJOR;
        metadata->version.minor = XLA_VERSION_MINOR;
        metadata->traits = 0;
        return NULL;
    }
    if (frame->stage != XLA_EXECUTE) return NULL;
    const char *wrong = fill(frame);
    if (!wrong) return NULL;
    char message[256];
    snprintf(message, sizeof message, "initfast cannot fill for XLA: %s", wrong);
    xla_error_request request = {.head_size = sizeof request,
                                 .message = message,
                                 .code = wrong == no_memory ? XLA_RESOURCE_EXHAUSTED
                                                            : XLA_INVALID_ARGUMENT};
    return frame->api->create_error(&request);
}
