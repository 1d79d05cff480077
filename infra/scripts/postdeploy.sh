#!/bin/sh
# After the code is deployed: leads the topic's events to the function (Event Grid refuses a function
# that is not there yet), then looks whether the app answers.
set -eu
cd "$(dirname "$0")/.."

: "${AZURE_RESOURCE_GROUP:?run this through azd}" "${AZURE_FUNCTION_APP:?}" "${AZURE_EVENT_TOPIC:?}"
: "${AZURE_STORAGE_ACCOUNT:?}" "${LAKEMEND_URL:?}"

# The host lists its functions some time after a deployment.
tries=0
until az functionapp function list --resource-group "$AZURE_RESOURCE_GROUP" --name "$AZURE_FUNCTION_APP" \
  --query '[].name' --output tsv | grep -q '/event_grid_alert$'; do
  tries=$((tries + 1))
  if [ "$tries" -ge 40 ]; then
    echo "the host does not list event_grid_alert: look at the app's logs" >&2
    exit 1
  fi
  sleep 15
done

az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name lakemend-event-subscription \
  --template-file modules/event-subscription.bicep --output none \
  --parameters topicName="$AZURE_EVENT_TOPIC" functionAppName="$AZURE_FUNCTION_APP" storageName="$AZURE_STORAGE_ACCOUNT"

# Without a key the app must say 401: it runs, and it lets nobody in.
status=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 60 "$LAKEMEND_URL/api/incidents")
if [ "$status" != 401 ]; then
  echo "$LAKEMEND_URL/api/incidents answered $status without a key, expected 401" >&2
  exit 1
fi
echo "Lakemend runs at $LAKEMEND_URL"
