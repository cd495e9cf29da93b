/* The part of XLA's foreign function interface that a handler on the CPU needs, in API version 0.1,
 * which newer versions of XLA also support. The comments have the names of XLA's header. The build
 * does not need XLA or JAX. Structs that XLA passes may be longer than these. */
#ifndef INITFAST_XLA_FFI_H
#define INITFAST_XLA_FFI_H

#include <stddef.h>
#include <stdint.h>

enum {
    XLA_VERSION_MAJOR = 0,
    XLA_VERSION_MINOR = 1,
    XLA_METADATA = 1, /* XLA_FFI_Extension_Type: the request at the registration of a handler */
    XLA_EXECUTE = 3,  /* XLA_FFI_ExecutionStage */
    XLA_INVALID_ARGUMENT = 3, /* XLA_FFI_Error_Code */
    XLA_RESOURCE_EXHAUSTED = 8,
    XLA_BUFFER = 1, /* XLA_FFI_ArgType and XLA_FFI_RetType */
    XLA_ARRAY = 1,  /* XLA_FFI_AttrType */
    XLA_STRING = 4,
};

/* XLA_FFI_DataType */
enum {
    XLA_S64 = 5,
    XLA_U32 = 8,
    XLA_F16 = 10,
    XLA_F32 = 11,
    XLA_F64 = 12,
    XLA_BF16 = 16,
    XLA_F8E5M2 = 19,
    XLA_F8E4M3FN = 20,
};

/* XLA_FFI_Extension_Base, a linked list. The other structs begin with their size and such a
 * list. */
typedef struct xla_extension {
    size_t size;
    int type;
    struct xla_extension *next;
} xla_extension;

#define XLA_HEAD      \
    size_t head_size; \
    xla_extension *extensions;

typedef struct { XLA_HEAD int major, minor; } xla_version; /* XLA_FFI_Api_Version */

typedef struct {
    XLA_HEAD int dtype;
    void *data;
    int64_t rank;
    const int64_t *dims;
} xla_buffer; /* XLA_FFI_Buffer */

typedef struct {
    XLA_HEAD int64_t count;
    const int *types;
    void **values;
} xla_values; /* XLA_FFI_Args, XLA_FFI_Rets */

typedef struct {
    const char *text;
    size_t length;
} xla_span; /* XLA_FFI_ByteSpan */

typedef struct {
    int dtype;
    size_t count;
    const void *data;
} xla_array; /* XLA_FFI_Array */

typedef struct {
    XLA_HEAD int64_t count;
    const int *types;
    xla_span **names;
    void **values;
} xla_attributes; /* XLA_FFI_Attrs */

typedef struct xla_error xla_error;

typedef struct {
    XLA_HEAD const char *message;
    int code;
} xla_error_request; /* XLA_FFI_Error_Create_Args */

typedef struct {
    XLA_HEAD xla_version version;
    const void *internal;
    xla_error *(*create_error)(xla_error_request *);
} xla_api; /* XLA_FFI_Api */

typedef struct {
    XLA_HEAD const xla_api *api;
    void *context;
    int stage;
    xla_values arguments, results;
    xla_attributes attributes;
} xla_frame; /* XLA_FFI_CallFrame */

typedef struct {
    size_t size;
    xla_version version;
    uint32_t traits;
} xla_metadata; /* XLA_FFI_Metadata */

typedef struct {
    xla_extension base;
    xla_metadata *metadata;
} xla_metadata_request; /* XLA_FFI_Metadata_Extension */

#endif
