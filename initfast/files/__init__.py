"""Arrays in files, written in parts by any number of workers, resumed after a kill, and verified.

`npyfile` and `safetensorsfile` know the bytes of their headers, `containers` lays tensors out in
files of any kind. To write: `plans` says who writes what, `runs` cuts that into spans, `pumping`
makes and writes them on several threads, `journal` and `claims` keep what is done, `resuming` takes
it up again, `targets` and `finishing` put a file under its final name in one step; `writing` puts
all of that together. `verifying` makes a file's values again."""
