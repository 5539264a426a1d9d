"""One module for each command: `run(arguments)` yields the lines to print."""
