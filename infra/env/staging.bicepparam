// Staging: built like production, each remedy approved by a person.
// What differs between subscriptions comes from the environment (`azd env set NAME value`; in the
// pipeline, the environment's variables). docs/deploy.md explains each.

using '../main.bicep'

param environmentName = 'staging'
param location = readEnvironmentVariable('AZURE_LOCATION')
param tags = {
  environment: 'staging'
}

param dataFactories = json(readEnvironmentVariable('LAKEMEND_DATA_FACTORIES', '[]'))
param workspaces = json(readEnvironmentVariable('LAKEMEND_WORKSPACES', '[]'))
param publisherPrincipalIds = json(readEnvironmentVariable('LAKEMEND_PUBLISHERS', '[]'))
param sourceStorage = json(readEnvironmentVariable('LAKEMEND_SOURCE_STORAGE', '{"name": ""}'))

param mode = 'pilot'
param enabled = true
param maxRetries = 5
param maxWorkers = 8
param rerunsTriggers = true
param catalogPath = ''
param policyPath = ''
param rerunnable = ''
param maxCostUsd = '20'
param packageIndexUrl = readEnvironmentVariable('LAKEMEND_PACKAGE_INDEX', '')
param playbookHosts = ''
param sweepLookbackMinutes = 60

param webhookMode = readEnvironmentVariable('LAKEMEND_WEBHOOK_MODE', 'secure')
param webhookClientId = readEnvironmentVariable('LAKEMEND_WEBHOOK_CLIENT_ID', '')
param webhookObjectId = readEnvironmentVariable('LAKEMEND_WEBHOOK_OBJECT_ID', '')
param emails = json(readEnvironmentVariable('LAKEMEND_EMAILS', '[]'))
param vaultSettings = json(readEnvironmentVariable('LAKEMEND_VAULT_SETTINGS_JSON', '["API_KEYS", "AUDIT_SIGNING_KEY"]'))

param isPrivate = true
param addressPrefix = '10.20.0.0/24'
param deployerAddresses = json(readEnvironmentVariable('LAKEMEND_DEPLOYER_ADDRESSES', '[]'))
param orchestrationBackend = 'storage'
param schedulerSku = 'Consumption'
param storageSku = 'Standard_ZRS'
param maximumInstances = 40
param instanceMemory = 2048
param alwaysReady = 0

param retentionDays = 90
param logRetentionDays = 30
param logDailyQuotaGb = 2
param deadLetterDays = 30
param budgetAmount = 80
param budgetStart = readEnvironmentVariable('LAKEMEND_BUDGET_START', '')

param deployerPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param deployerPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')
