#!/usr/bin/env bash
# Change the licence rules one small step at a time and see whether the tests notice.
#
#   scripts/mutate.sh [MODULE...] [--sample N] [--seed N] [--quick] [--results FILE] [--again]
#
# Without a module: all that weigh on a decision. Changes live in the memory of forked processes,
# so the checkout stays as it is. Changes that only touch sentences for people are left out;
# those that no test could notice are listed in tests/compliance/equivalent_mutants.txt.
set -euo pipefail

cd "$(dirname "$0")/.."
exec nice -n 10 "${PYTHON:-.venv/bin/python}" scripts/mutate.py "$@"
