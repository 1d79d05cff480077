#!/bin/sh
# Packs what is deployed into one zip, with its libraries, for Azure's Python 3.11 on Linux:
#   infra/scripts/package.sh out.zip [storage|scheduler]
# The same tree gives the same bytes: files are sorted, times are fixed.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$1
backend=${2:-storage}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -R "$root/functions" "$root/shared" "$work/"
cp "$root/function_app.py" "$root/requirements.txt" "$work/"
case "$backend" in
  storage) cp "$root/host.json" "$work/host.json" ;;
  scheduler) cp "$root/infra/host.scheduler.json" "$work/host.json" ;;
  *) echo "expected storage or scheduler, got $backend" >&2; exit 2 ;;
esac
if [ "${LAKEMEND_PACKAGE_BARE:-}" != 1 ]; then
  python3 -m pip install --quiet --no-compile --only-binary :all: --implementation cp --python-version 3.11 \
    --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 \
    --target "$work/.python_packages/lib/site-packages" \
    --require-hashes --no-deps --requirement "$root/requirements.lock"
fi
find "$work" -name __pycache__ -type d -prune -exec rm -rf {} +

python3 - "$work" "$out" <<'PY'
import sys
import zipfile
from pathlib import Path

root, out = Path(sys.argv[1]), Path(sys.argv[2])
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), (2020, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, path.read_bytes())
PY
