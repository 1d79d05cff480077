// Development: observes only, small, no network of its own.
// What differs between subscriptions comes from the environment (`azd env set NAME value`; in the
// pipeline, the environment's variables). docs/deploy.md explains each.

using '../main.bicep'

param environmentName = 'dev'
param location = readEnvironmentVariable('AZURE_LOCATION')
param tags = {
  environment: 'dev'
}

param dataFactories = json(readEnvironmentVariable('LAKEMEND_DATA_FACTORIES', '[]'))
param workspaces = json(readEnvironmentVariable('LAKEMEND_WORKSPACES', '[]'))
param publisherPrincipalIds = json(readEnvironmentVariable('LAKEMEND_PUBLISHERS', '[]'))
param sourceStorage = json(readEnvironmentVariable('LAKEMEND_SOURCE_STORAGE', '{"name": ""}'))

param mode = 'observe'
param enabled = true
param maxRetries = 5
param maxWorkers = 4
param rerunsTriggers = false
param catalogPath = ''
param policyPath = ''
param rerunnable = ''
param maxCostUsd = '10'
param packageIndexUrl = readEnvironmentVariable('LAKEMEND_PACKAGE_INDEX', '')
param playbookHosts = ''
param sweepLookbackMinutes = 60

param webhookMode = readEnvironmentVariable('LAKEMEND_WEBHOOK_MODE', 'secure')
param webhookClientId = readEnvironmentVariable('LAKEMEND_WEBHOOK_CLIENT_ID', '')
param webhookObjectId = readEnvironmentVariable('LAKEMEND_WEBHOOK_OBJECT_ID', '')
param emails = json(readEnvironmentVariable('LAKEMEND_EMAILS', '[]'))
param vaultSettings = json(readEnvironmentVariable('LAKEMEND_VAULT_SETTINGS_JSON', '["API_KEYS", "AUDIT_SIGNING_KEY"]'))

param isPrivate = false
param addressPrefix = '10.20.0.0/24'
param deployerAddresses = json(readEnvironmentVariable('LAKEMEND_DEPLOYER_ADDRESSES', '[]'))
param orchestrationBackend = 'storage'
param schedulerSku = 'Consumption'
param storageSku = 'Standard_LRS'
param maximumInstances = 40
param instanceMemory = 2048
param alwaysReady = 0

param retentionDays = 30
param logRetentionDays = 30
param logDailyQuotaGb = 1
param deadLetterDays = 14
param budgetAmount = 50
param budgetStart = readEnvironmentVariable('LAKEMEND_BUDGET_START', '')

param deployerPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param deployerPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')
