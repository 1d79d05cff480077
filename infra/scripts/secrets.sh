#!/bin/sh
# Writes the secrets that are missing in the vault; what is there stays. No value is ever printed or
# put on a command line. Needs Key Vault Secrets Officer on the vault, which provisioning gives to who
# ran it. Runs after `azd provision` and before the code is deployed.
set -eu

vault="${AZURE_KEY_VAULT:?run this through azd}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077

random() { # 32 random bytes in hex
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

missing() { # true when the vault has no secret of this name; fails when the vault does not answer
  names=$(az keyvault secret list --vault-name "$vault" --query '[].name' --output tsv)
  ! printf '%s\n' "$names" | grep -qx "$1"
}

write() { # the secret's value comes in a file
  az keyvault secret set --vault-name "$vault" --name "$1" --file "$work/$1" --output none
  echo "wrote the secret $1"
}

# The role assignment made a moment ago may need some minutes until the vault knows it.
tries=0
until az keyvault secret list --vault-name "$vault" --query '[].name' --output none 2>"$work/error"; do
  tries=$((tries + 1))
  if [ "$tries" -ge 20 ]; then
    cat "$work/error" >&2
    exit 1
  fi
  sleep 15
done

for setting in ${LAKEMEND_VAULT_SETTINGS:-API_KEYS AUDIT_SIGNING_KEY}; do
  name=$(echo "$setting" | tr _ -)
  missing "$name" || continue
  case "$setting" in
    API_KEYS)
      sender=$(random)
      printf '%s' "$sender" > "$work/action-group-key"
      write action-group-key
      printf '[{"name": "sender", "key": "%s", "scopes": ["sender"]}, {"name": "operator", "key": "%s", "scopes": ["reader", "approver"]}, {"name": "deployer", "key": "%s", "scopes": ["reader", "deployer"]}]' \
        "$sender" "$(random)" "$(random)" > "$work/$name"
      write "$name"
      ;;
    *_SIGNING_KEY)
      random > "$work/$name"
      write "$name"
      ;;
    *)
      echo "the secret $name is missing; write it with: az keyvault secret set --vault-name $vault --name $name --file <file>" >&2
      exit 1
      ;;
  esac
done

# The app reads references once and keeps them for a day, so it is told to look now.
# https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#understand-rotation
az rest --method POST --output none --url "$(az functionapp show --resource-group "$AZURE_RESOURCE_GROUP" \
  --name "$AZURE_FUNCTION_APP" --query id --output tsv | sed 's#^#https://management.azure.com#')/config/configreferences/appsettings/refresh?api-version=2022-03-01"
