"""Run a guard on what goes into an endpoint and on what comes out of it.

`texts` finds what is said in a request or an answer, `stages` asks the guard about it, `events`
and `hold` do the same for a stream that is still being written, `answers` writes what a caller
gets instead, and `path` puts these together. What a guard is: `registry.artifact.guard`.

Law: nothing that the guard did not read reaches the model or the caller; a guard that fails, or
says something that is not understood, lets nothing through.
"""
