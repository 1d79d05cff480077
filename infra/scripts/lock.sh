#!/bin/sh
# Writes requirements.lock: everything that requirements.txt brings along, with versions and hashes, as
# it is deployed (Python 3.11 on Linux). What is locked stays unless requirements.txt asks for another;
# `infra/scripts/lock.sh --upgrade` takes the newest of the rest. Needs pipx.
set -eu
cd "$(dirname "$0")/../.."

pipx run --spec uv==0.13.9 uv pip compile --quiet "$@" requirements.txt --output-file requirements.lock \
  --generate-hashes --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --no-annotate --no-header
