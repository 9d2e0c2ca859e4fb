#!/bin/sh
# Make .venv-olah: olah, a mirror that speaks the Hub's HTTP, which one test imports through. It is a
# peer and not a dependency, so it has a place of its own. Safe to run again.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv-olah
STAMP="$VENV/.lictor-stamp"
PACKAGE="olah==0.5.4"

[ -x .venv/bin/uv ] || { echo "olah: run make setup first" >&2; exit 1; }
if [ -f "$STAMP" ] && [ "$(cat "$STAMP")" = "$PACKAGE" ]; then exit 0; fi

echo "olah: creating $VENV"
rm -rf "$VENV"
.venv/bin/python -m venv --without-pip "$VENV"
echo '*' > "$VENV/.gitignore"
.venv/bin/uv pip install --python "$VENV/bin/python" --quiet "$PACKAGE"
echo "$PACKAGE" > "$STAMP"
echo "olah: done"
