#!/bin/sh
# Refuses a deployment that would come out deaf or dumb, before anything is created:
#   infra/scripts/inputs.sh people application
# `people`: somebody is mailed about Lakemend itself. `application`: a secure webhook has its Entra
# application. Without arguments: both.
set -eu

people() {
  case "${LAKEMEND_EMAILS:-}" in
    *@*) ;;
    *)
      echo "LAKEMEND_EMAILS names nobody, so no alert about Lakemend itself would reach a person:" >&2
      echo "set it to a JSON list, such as [\"you@example.com\"]" >&2
      exit 1
      ;;
  esac
}

application() {
  [ "${LAKEMEND_WEBHOOK_MODE:-secure}" = secure ] || return 0
  if [ -z "${LAKEMEND_WEBHOOK_CLIENT_ID:-}" ] || [ -z "${LAKEMEND_WEBHOOK_OBJECT_ID:-}" ]; then
    echo "LAKEMEND_WEBHOOK_CLIENT_ID and LAKEMEND_WEBHOOK_OBJECT_ID: mode secure needs both;" >&2
    echo "run infra/scripts/entra-app.sh once and set what it prints (docs/deploy.md, The pipeline)" >&2
    exit 1
  fi
}

[ "$#" -gt 0 ] || set -- people application
for what in "$@"; do
  case "$what" in
    people | application) "$what" ;;
    *) echo "expected people or application, got $what" >&2; exit 2 ;;
  esac
done
