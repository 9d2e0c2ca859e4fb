#!/bin/sh
# Make .venv-oracles: mamba-ssm, whose reference functions and Triton kernels the Mamba tests are held
# to. It cannot be in the lock (its build wants CUDA), so it has a place of its own, and sees torch
# through .venv. Safe to run again: a stamp makes the second run a no-op.
set -eu
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-.venv/bin/python}"
VENV=.venv-oracles
STAMP="$VENV/.lictor-stamp"
PACKAGES="einops==0.8.1 triton==3.9.0"
MAMBA="mamba-ssm==2.3.2.post1"

if [ "$(uname -s)" != Linux ]; then echo "oracles: triton is made for Linux only" >&2; exit 1; fi
[ -x .venv/bin/uv ] || { echo "oracles: run make setup first" >&2; exit 1; }
digest=$(cat requirements.lock scripts/setup.sh scripts/oracles.sh | cksum)
if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$digest" ]; then exit 0; fi

echo "oracles: creating $VENV"
rm -rf "$VENV"
"$PYTHON" -m venv --without-pip "$VENV"
echo '*' > "$VENV/.gitignore"
# torch and what builds a wheel are .venv's; a .pth file is a reference, not a copy.
ours=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$ours/lictor.pth"
install() { .venv/bin/uv pip install --python "$VENV/bin/python" --quiet --no-deps "$@"; }
install $PACKAGES
# Without the first its build looks for a ready CUDA wheel, without the second for nvcc.
MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE install --no-build-isolation "$MAMBA"
echo "$digest" > "$STAMP"
echo "oracles: done"
