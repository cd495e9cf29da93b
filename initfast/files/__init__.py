"""Files of initialised tensors: written atomically, resumed after a kill, and verified.

- `formats`: a table of file formats; `npyfile` and `safetensorsfile` are the bytes of two headers.
- `chunks`: the piece of work, and the loop that makes chunks again on several threads.
- `partial`: the file that holds the bytes until they are complete.
- `writer`: write or resume one file. `verifier`: compare one file.
- `specs` and `checkpoint`: the description of a model, and its files.
"""
