"""Fill any part of an array: dtypes, indexing, buffers, threads, seeds, and the kernels.

Nothing here knows of Keras, of fans or of files. What is public of it is in `initfast` and
`initfast.typing`."""
