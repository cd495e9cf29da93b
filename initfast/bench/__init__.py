"""How fast initfast is beside the libraries that are installed here: for `initfast bench`, and the
benchmarks.

`tasks` says what is drawn and when it was drawn well, `peers` who draws it and `fills` how,
`rounds` times them in turns, `comparison` puts all of that together. Nothing is imported before it
is compared."""
