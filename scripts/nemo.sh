#!/bin/sh
# Make .venv-nemo: NVIDIA's NeMo Guardrails server in an environment of its own, for the tests of the
# guard's stage that asks it. About a minute. Safe to run again: a stamp makes the second run a no-op.
set -eu
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-.venv/bin/python}"
VENV=.venv-nemo
STAMP="$VENV/.lictor-stamp"
PACKAGES="nemoguardrails[server]==0.24.1"

[ -x .venv/bin/uv ] || { echo "nemo: run make setup first" >&2; exit 1; }
if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$PACKAGES" ]; then exit 0; fi
echo "nemo: creating $VENV"
rm -rf "$VENV"
"$PYTHON" -m venv --without-pip "$VENV"
echo '*' > "$VENV/.gitignore"
.venv/bin/uv pip install --python "$VENV/bin/python" --quiet "$PACKAGES" \
  || { echo "nemo: could not install $PACKAGES; the tests that need it are skipped" >&2; exit 1; }
echo "$PACKAGES" > "$STAMP"
echo "nemo: done"
