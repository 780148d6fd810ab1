#!/usr/bin/env bash
# Checks the settings that the server would start with: those of the environment and of a file (default: .env).
#   ./validate_env.sh [FILE]
# Names each bad setting and exits with 1; prints no secret.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
file="${1:-.env}"
python="${PYTHON:-$here/../../.venv/bin/python}"
[[ -x $python ]] || { echo "no Python at $python: run ./dev setup, or set PYTHON" >&2; exit 1; }
if [[ -n ${1:-} && ! -r $file ]]; then
  echo "cannot read $file" >&2
  exit 1
fi
exec "$python" "$here/validate_env.py" "$file"
