"""Fill any part of an array: dtypes, indexing, buffers, threads, seeds, and the kernels.

Nothing here knows of Keras, fans or files. The public names are in `initfast` and
`initfast.typing`."""
