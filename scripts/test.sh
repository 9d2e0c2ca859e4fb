#!/bin/sh
# The suite on the embedded default (SQLite), then again on PostgreSQL and Redis where they answer.
# The second half leaves out what never meets a database. PYTEST_ARGS passes arguments on;
# TEST_POSTGRES and TEST_REDIS name the servers.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
POSTGRES="${TEST_POSTGRES:-postgres://postgres@127.0.0.1:5432/postgres}"
REDIS="${TEST_REDIS:-redis://127.0.0.1:6379/15}"

sh scripts/browser.sh || true

# Flows start whole stacks of real processes, so they run by themselves, one after the other.
suite() {
  pytest -n "${WORKERS:-2}" --dist loadfile -m "not flow" ${PYTEST_ARGS:-} "$@"
  pytest -m flow ${PYTEST_ARGS:-} "$@"
}

echo "test: SQLite, embedded broker"
suite tests

if python - "$POSTGRES" "$REDIS" <<'PY'
import sys
import psycopg, redis
try:
    psycopg.connect(sys.argv[1].replace("postgres://", "postgresql://"), connect_timeout=3).close()
    redis.Redis.from_url(sys.argv[2], socket_timeout=3).ping()
except (psycopg.Error, redis.RedisError) as error:
    sys.exit(f"test: no PostgreSQL and Redis here ({error}); that half of the suite did not run")
PY
then
  echo "test: PostgreSQL, Redis"
  export DATABASE_URL="$POSTGRES" REDIS_URL="$REDIS"
  suite tests/registry tests/compliance tests/deployer tests/dashboard tests/flows
elif [ -n "${CI:-}" ]; then
  exit 1
fi
