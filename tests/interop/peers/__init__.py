"""One file for each peer: its tool, how it is asked to read a form, and how to write one."""
