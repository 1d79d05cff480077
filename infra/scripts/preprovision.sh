#!/bin/sh
# Before `azd provision`: takes the parameters of the chosen environment, and registers the Entra
# application that action groups sign in to (unless alerts come in by key).
set -eu
cd "$(dirname "$0")/.."

environment="${AZURE_ENV_NAME:?run this through azd}"
parameters="env/${environment}.bicepparam"
if [ ! -f "$parameters" ]; then
  echo "the azd environment is called '$environment', expected dev, staging or prod" >&2
  exit 1
fi
# azd reads infra/main.bicepparam; the path to main.bicep is another one from there.
sed "s#^using '../main.bicep'#using 'main.bicep'#" "$parameters" > main.bicepparam

if [ -z "${LAKEMEND_BUDGET_START:-}" ]; then
  azd env set LAKEMEND_BUDGET_START "$(date -u +%Y-%m-01)"
fi
if [ "${LAKEMEND_WEBHOOK_MODE:-secure}" = secure ] && [ -z "${LAKEMEND_WEBHOOK_CLIENT_ID:-}" ]; then
  sh scripts/entra-app.sh
fi
