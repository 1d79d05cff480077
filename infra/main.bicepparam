// What azd reads. infra/scripts/build_parameters.py makes it of env/*.bicepparam: change those, and
// make it again. An environment that is not in the table below does not compile.

using 'main.bicep'

var environments = {
  dev: {
    environmentName: 'dev'
    tags: {
      environment: 'dev'
    }
    mode: 'observe'
    maxWorkers: 4
    rerunsTriggers: false
    maxCostUsd: '10'
    isPrivate: false
    storageSku: 'Standard_LRS'
    maximumInstances: 40
    alwaysReady: 0
    retentionDays: 30
    logRetentionDays: 30
    logDailyQuotaGb: 1
    deadLetterDays: 14
    budgetAmount: 50
  }
  staging: {
    environmentName: 'staging'
    tags: {
      environment: 'staging'
    }
    mode: 'pilot'
    maxWorkers: 8
    rerunsTriggers: true
    maxCostUsd: '20'
    isPrivate: true
    storageSku: 'Standard_ZRS'
    maximumInstances: 40
    alwaysReady: 0
    retentionDays: 90
    logRetentionDays: 30
    logDailyQuotaGb: 2
    deadLetterDays: 30
    budgetAmount: 80
  }
  prod: {
    environmentName: 'prod'
    tags: {
      environment: 'prod'
    }
    mode: 'observe'
    maxWorkers: 16
    rerunsTriggers: true
    maxCostUsd: '50'
    isPrivate: true
    storageSku: 'Standard_ZRS'
    maximumInstances: 100
    alwaysReady: 1
    retentionDays: 400
    logRetentionDays: 90
    logDailyQuotaGb: 5
    deadLetterDays: 90
    budgetAmount: 200
  }
}
var chosen = environments[readEnvironmentVariable('AZURE_ENV_NAME')]

param environmentName = chosen.environmentName
param location = readEnvironmentVariable('AZURE_LOCATION')
param tags = chosen.tags
param dataFactories = json(readEnvironmentVariable('LAKEMEND_DATA_FACTORIES', '[]'))
param workspaces = json(readEnvironmentVariable('LAKEMEND_WORKSPACES', '[]'))
param publisherPrincipalIds = json(readEnvironmentVariable('LAKEMEND_PUBLISHERS', '[]'))
param sourceStorage = json(readEnvironmentVariable('LAKEMEND_SOURCE_STORAGE', '{"name": ""}'))
param mode = chosen.mode
param enabled = true
param maxRetries = 5
param maxWorkers = chosen.maxWorkers
param rerunsTriggers = chosen.rerunsTriggers
param catalogPath = ''
param policyPath = ''
param rerunnable = ''
param maxCostUsd = chosen.maxCostUsd
param packageIndexUrl = readEnvironmentVariable('LAKEMEND_PACKAGE_INDEX', '')
param playbookHosts = ''
param sweepLookbackMinutes = 60
param webhookMode = readEnvironmentVariable('LAKEMEND_WEBHOOK_MODE', 'secure')
param webhookClientId = readEnvironmentVariable('LAKEMEND_WEBHOOK_CLIENT_ID', '')
param webhookObjectId = readEnvironmentVariable('LAKEMEND_WEBHOOK_OBJECT_ID', '')
param emails = json(readEnvironmentVariable('LAKEMEND_EMAILS', '[]'))
param vaultSettings = json(readEnvironmentVariable('LAKEMEND_VAULT_SETTINGS_JSON', '["API_KEYS", "AUDIT_SIGNING_KEY"]'))
param isPrivate = chosen.isPrivate
param addressPrefix = '10.20.0.0/24'
param deployerAddresses = json(readEnvironmentVariable('LAKEMEND_DEPLOYER_ADDRESSES', '[]'))
param orchestrationBackend = 'storage'
param schedulerSku = 'Consumption'
param storageSku = chosen.storageSku
param maximumInstances = chosen.maximumInstances
param instanceMemory = 2048
param alwaysReady = chosen.alwaysReady
param retentionDays = chosen.retentionDays
param logRetentionDays = chosen.logRetentionDays
param logDailyQuotaGb = chosen.logDailyQuotaGb
param deadLetterDays = chosen.deadLetterDays
param budgetAmount = chosen.budgetAmount
param budgetStart = readEnvironmentVariable('LAKEMEND_BUDGET_START', '')
param deployerPrincipalId = readEnvironmentVariable('AZURE_PRINCIPAL_ID', '')
param deployerPrincipalType = readEnvironmentVariable('AZURE_PRINCIPAL_TYPE', 'User')
