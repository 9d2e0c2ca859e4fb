"""A second, naive evaluator, written from the specification and not from the rules.

It enumerates every simple path from the subject to every ancestor and asks each clause on each of
them. Slow, obvious, and different on purpose: where it and `compliance.rules.evaluate` disagree,
one of the two misread a licence. Besides the vocabulary (facts, catalogue, assessment) it imports
nothing of the rules.
"""
