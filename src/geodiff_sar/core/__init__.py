"""Types, errors, options, files and console: what every layer shares. Loads no heavy library."""
