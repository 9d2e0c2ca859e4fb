#!/bin/sh
# Every static check. The first that fails stops the run.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

step() { printf 'check: %s\n' "$1"; }

step "ruff format"; ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ." >&2; exit 1; }
step "ruff"; ruff check --quiet .
step "import contracts"; lint-imports --no-cache > .import-linter.log 2>&1 || { cat .import-linter.log; rm -f .import-linter.log; exit 1; }
rm -f .import-linter.log
step "migrations"; LICTOR_DEBUG=1 python manage.py makemigrations --check --dry-run --verbosity 0 \
  || { echo "models changed without a migration: manage.py makemigrations" >&2; exit 1; }
step "deployment settings"
LICTOR_SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(60))')" \
  LICTOR_GATEWAY_TOKEN=check LICTOR_TLS=1 python manage.py check --deploy --fail-level WARNING > /dev/null
step "OpenAPI schema"
LICTOR_DEBUG=1 python manage.py spectacular --validate --fail-on-warn --file /dev/null
step "mypy"; LICTOR_DEBUG=1 mypy config registry compliance deployer inference dashboard demo
echo "check: all passed"
