"""One module for each format: a module here with a function `write(report, output)` is a value of `--output`."""
