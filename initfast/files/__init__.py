"""Files of initialised tensors: written atomically, resumed after a kill, and verified.

- `formats`: a table of file formats; `npyfile` and `safetensorsfile` are the bytes of two headers,
  `tensors` what is in a file.
- `chunks`: the pieces of work. `walker` makes them on several threads, `passes` is one pass over
  all of them.
- `partial`: the file that holds the bytes until they are complete. `identity`: whether it is of
  the same write.
- `writer`: write or resume one file. `verifier`: compare one file.
- `specs` and its `entries`: the description of a model. `layout`: which tensor is in which file.
  `checkpoint`: write a `job` of files.
"""
