#!/bin/sh
# Says, one line each, which tools are missing and how Debian installs them; fails if one is.
# Usage: check_tools.sh PYTHON

python=${1:-python3}
missing=0

need() { # message
    echo "missing: $1" >&2
    missing=1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

if ! have "$python"; then
    need "$python: apt-get install python3 python3-venv (or name another: make PYTHON=/path/to/python3)"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    need "Python 3.11 or newer, $python is older: apt-get install python3.11 python3.11-venv, then make PYTHON=python3.11"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    need "the venv module of $python: apt-get install python3-venv"
fi

if ! have node; then
    need "Node.js 18 or newer: apt-get install nodejs npm"
elif ! node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)'; then
    need "Node.js 18 or newer, node is $(node --version): apt-get install nodejs npm"
fi
have npm || need "npm: apt-get install npm"

exit $missing
