"""Fill any part of an array: dtypes, distributions, indexing, buffers, threads, seeds, and the call
into the kernels.

Nothing here knows of Keras, of fans or of files. What is public of it is in `initfast` and
`initfast.typing`."""
