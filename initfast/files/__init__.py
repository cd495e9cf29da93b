"""Files of initialised tensors: written atomically, resumed after a kill, and verified.

- `formats`: a table of file formats. `npyfile` and `safetensorsfile`: the bytes of two headers.
  `tensors`: the tensors of a file.
- `chunks`: the pieces of work. `walker` computes them on several threads, `passes` makes one pass
  over all of them.
- `partial`: the unfinished file. `identity`: whether it belongs to the same write.
- `writer`: write or resume one file. `verifier`: compare one file.
- `specs` and `entries`: the description of a model. `layout`: which tensor is in which file.
  `checkpoint`: write all files of a `job`.
"""
