#!/bin/sh
# Installs the licence tools that `python -m bench.licence_peers` compares with, into .venv-peers.
# About 800 MB, most of it ScanCode's rules.
set -eu
cd "$(dirname "$0")/.."
if [ ! -x .venv-peers/bin/python ]; then
  echo "peers: creating .venv-peers (800 MB)"
  "${PYTHON:-python3}" -m venv .venv-peers
fi
# ScanCode 32.5.0 does not import with pluggy 1.7.
.venv-peers/bin/python -m pip install -q --disable-pip-version-check \
  "weight-audit==0.1.3" "ai-bom==3.6.0" "scancode-toolkit-mini==32.5.0" "pluggy==1.6.0"
echo "peers: done"
