"""The command line: one module a command; ``main.py`` is the table of them."""
