"""Say from two sets of weights what was done to the one to get the other.

Pure: numpy only, files in, a verdict out. It can raise a concern; it never clears a model, because
a harmful fine-tune looks like any other. Method, measurements and limits: docs/safety-evidence.md.
"""
