#!/bin/sh
# Make .venv and install the pinned lock into it, then CPU torch. Safe to run again: a stamp of the
# lock's digest makes the second run a no-op.
set -eu
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-python3}"
TORCH="torch==2.13.0"
VENV=.venv
STAMP="$VENV/.lictor-stamp"

"$PYTHON" - <<'PY' || { echo "setup: Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
import sys
sys.exit(sys.version_info < (3, 11))
PY

digest=$(cat requirements.lock pyproject.toml scripts/setup.sh | cksum)
if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$digest" ]; then exit 0; fi

echo "setup: creating $VENV and installing pinned dependencies"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
UV="$VENV/bin/uv pip install --python $VENV/bin/python --quiet"
$UV --require-hashes -r requirements.lock

# torch is not in the hash-locked file: the CPU build's hash differs from the default index's, and the
# default on Linux drags in gigabytes of CUDA. A wheel that pip already knows of (find-links) wins;
# else PyTorch's own CPU index (TORCH_INDEX=cu130 selects the CUDA build).
links=$("$VENV/bin/python" -m pip config get global.find-links 2>/dev/null || true)
links="${PIP_FIND_LINKS:-$links}"
if [ "$(uname -s)" = Darwin ]; then
  $UV "$TORCH"
elif [ -n "$links" ] && ls "$links"/torch-2.13.0* >/dev/null 2>&1 && [ -z "${TORCH_INDEX:-}" ]; then
  $UV --no-deps --find-links "$links" --no-index "$TORCH"
  $UV --find-links "$links" "$TORCH"
else
  index="https://download.pytorch.org/whl/${TORCH_INDEX:-cpu}"
  $UV --index "$index" "$TORCH" || { echo "setup: could not install $TORCH from $index" >&2; exit 1; }
fi
$UV --no-deps --no-build-isolation -e . 2>/dev/null || $UV --no-deps -e .
echo "$digest" > "$STAMP"
echo "setup: done"
