#!/bin/sh
# Registers the Entra application that stands for Lakemend's HTTP interface, its app roles, and lets
# Azure Monitor's action groups use the first of them. Can be run again. Needs the right to register
# applications and to grant app roles (Cloud Application Administrator is enough). Without azd:
#   AZURE_ENV_NAME=dev LAKEMEND_WITHOUT_AZD=1 LAKEMEND_OWNERS="<object id>" infra/scripts/entra-app.sh
# LAKEMEND_OWNERS: object ids, with spaces between, of who else creates or changes the action group:
# Azure takes a secure webhook only from an owner of its application. Who runs this becomes one too.
# https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#configure-authentication-for-secure-webhook
set -eu

name="lakemend-${AZURE_ENV_NAME:?run this through azd}"
# The service principal of action groups, the same application in every tenant.
action_groups=461e8683-5575-4561-ac7f-899cc907d62a

# Fixed ids, so that running this again changes nothing.
roles='[
  {"id": "0b1f6e0c-6d3c-4d4f-9a55-3f5f4b7f1a01", "value": "ActionGroupsSecureWebhook", "displayName": "Send alerts",
   "description": "Sends alerts to Lakemend.", "allowedMemberTypes": ["Application"], "isEnabled": true},
  {"id": "0b1f6e0c-6d3c-4d4f-9a55-3f5f4b7f1a02", "value": "Lakemend.Reader", "displayName": "Read",
   "description": "Reads incidents and timelines.", "allowedMemberTypes": ["User", "Application"], "isEnabled": true},
  {"id": "0b1f6e0c-6d3c-4d4f-9a55-3f5f4b7f1a03", "value": "Lakemend.Approver", "displayName": "Approve",
   "description": "Approves and pauses remedies.", "allowedMemberTypes": ["User", "Application"], "isEnabled": true},
  {"id": "0b1f6e0c-6d3c-4d4f-9a55-3f5f4b7f1a04", "value": "Lakemend.Deployer", "displayName": "Deploy",
   "description": "Starts deliveries.", "allowedMemberTypes": ["User", "Application"], "isEnabled": true}
]'

client_id=$(az ad app list --display-name "$name" --query '[0].appId' --output tsv)
if [ -z "$client_id" ]; then
  client_id=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv)
fi
object_id=$(az ad app show --id "$client_id" --query id --output tsv)
az rest --method PATCH --url "https://graph.microsoft.com/v1.0/applications/$object_id" \
  --headers 'Content-Type=application/json' \
  --body "{\"identifierUris\": [\"api://$client_id\"], \"appRoles\": $roles, \"api\": {\"requestedAccessTokenVersion\": 2}}"

principal() {
  found=$(az ad sp list --filter "appId eq '$1'" --query '[0].id' --output tsv)
  [ -n "$found" ] || found=$(az ad sp create --id "$1" --query id --output tsv)
  echo "$found"
}
resource=$(principal "$client_id")
sender=$(principal "$action_groups")
granted=$(az rest --method GET \
  --url "https://graph.microsoft.com/v1.0/servicePrincipals/$sender/appRoleAssignments" \
  --query "length(value[?resourceId=='$resource'])" --output tsv)
if [ "$granted" = 0 ]; then
  az rest --method POST --url "https://graph.microsoft.com/v1.0/servicePrincipals/$sender/appRoleAssignments" \
    --headers 'Content-Type=application/json' --output none \
    --body "{\"principalId\": \"$sender\", \"resourceId\": \"$resource\", \"appRoleId\": \"0b1f6e0c-6d3c-4d4f-9a55-3f5f4b7f1a01\"}"
fi

# A service principal that runs this is no signed-in user: it names itself in LAKEMEND_OWNERS.
me=$(az ad signed-in-user show --query id --output tsv 2>/dev/null || true)
for owner in $me ${LAKEMEND_OWNERS:-}; do
  az ad app owner add --id "$client_id" --owner-object-id "$owner" # changes nothing for an owner
done

if [ "${LAKEMEND_WITHOUT_AZD:-}" = 1 ]; then
  echo "LAKEMEND_WEBHOOK_CLIENT_ID=$client_id"
  echo "LAKEMEND_WEBHOOK_OBJECT_ID=$object_id"
else
  azd env set LAKEMEND_WEBHOOK_CLIENT_ID "$client_id"
  azd env set LAKEMEND_WEBHOOK_OBJECT_ID "$object_id"
fi
