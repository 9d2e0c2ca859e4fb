"""Benchmarks: every number in bench/results was measured by this code on the machine it names."""
