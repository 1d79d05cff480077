#!/bin/sh
# Before `azd provision`: refuses what would make a system that tells nobody, and registers the Entra
# application that action groups sign in to (unless alerts come in by key). azd has compiled
# main.bicepparam before this and compiles it again afterwards, so what is set here counts.
set -eu
cd "$(dirname "$0")/.."

environment="${AZURE_ENV_NAME:?run this through azd}"
parameters="env/${environment}.bicepparam"
if [ ! -f "$parameters" ]; then
  echo "the azd environment is called '$environment', expected dev, staging or prod" >&2
  exit 1
fi
sh scripts/inputs.sh people

if [ -z "${LAKEMEND_BUDGET_START:-}" ]; then
  azd env set LAKEMEND_BUDGET_START "$(date -u +%Y-%m-01)"
fi
if ! sh scripts/inputs.sh application 2>/dev/null; then
  sh scripts/entra-app.sh
fi
