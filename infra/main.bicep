// Lakemend in one environment of one team: everything `azd up` creates.
// docs/deploy.md says what is needed beforehand, what it costs and how to remove it.

targetScope = 'subscription'

@description('Name of the environment; part of every name.')
@allowed([
  'dev'
  'staging'
  'prod'
])
param environmentName string

@description('Azure region, one that has Flex Consumption.')
param location string

@description('Tags on every resource.')
param tags object

// --- What Lakemend looks after -------------------------------------------------------------------

@description('Factories: name, resourceGroup, subscriptionId, location, environment.')
param dataFactories array

@description('Workspaces: name, host, workspaceId, resourceGroup, subscriptionId, environment.')
param workspaces array

@description('Object ids of the service principals that publish events, such as the Databricks jobs\'.')
param publisherPrincipalIds array

@description('Storage account whose missing files may be looked for: name, resourceGroup, subscriptionId; empty name for none.')
param sourceStorage object

// --- What it may do ------------------------------------------------------------------------------

@allowed([
  'observe'
  'pilot'
  'production'
])
param mode string

@description('false stops every further action.')
param enabled bool

@minValue(0)
@maxValue(50)
param maxRetries int

@minValue(1)
@maxValue(10000)
param maxWorkers int

@description('Whether runs of tumbling-window triggers are rerun through their trigger: needs a right of its own.')
param rerunsTriggers bool

@description('A catalog of your own, inside the deployed package; empty for the shipped one.')
param catalogPath string

@description('A policy of your own, inside the deployed package; empty for the ready one of the mode.')
param policyPath string

@description('Names of pipelines and jobs, with commas between, that may run twice without harm.')
param rerunnable string

@description('Ceiling of a day\'s estimated cost in USD; empty for the policy\'s.')
param maxCostUsd string

param packageIndexUrl string
param playbookHosts string

@description('How far back the health sweep looks.')
@minValue(1)
@maxValue(1440)
param sweepLookbackMinutes int

// --- How alerts come in --------------------------------------------------------------------------

@description('How action groups sign in; see modules/action-group.bicep.')
@allowed([
  'secure'
  'key'
  'none'
])
param webhookMode string

@description('Application (client) id of the Entra application made by scripts/entra-app.sh.')
param webhookClientId string

@description('Object id of that application.')
param webhookObjectId string

@description('Mail addresses of the people who look after Lakemend.')
param emails array

@description('Settings whose values are in the vault.')
param vaultSettings array

// --- How it runs ---------------------------------------------------------------------------------

@description('Whether storage and vault are reached over a network of its own.')
param isPrivate bool

@description('Address range of that network, a /24 or larger.')
param addressPrefix string

@description('IPv4 addresses or ranges from which secrets are written when the vault is private.')
param deployerAddresses array

@description('Backend of the orchestrations.')
@allowed([
  'storage'
  'scheduler'
])
param orchestrationBackend string

@allowed([
  'Consumption'
  'Dedicated'
])
param schedulerSku string

@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
])
param storageSku string

param maximumInstances int
param instanceMemory int
param alwaysReady int

// --- How long things are kept, and what they may cost --------------------------------------------

@description('Days that alerts, incidents, timelines and durable history are kept.')
param retentionDays int

@description('Days that logs are kept.')
param logRetentionDays int

param logDailyQuotaGb int
param deadLetterDays int

@description('Planned cost of a month, in the currency of the subscription.')
param budgetAmount int

@description('First day of the budget\'s first month, yyyy-MM-01; empty for no budget.')
param budgetStart string

// --- Who deploys ---------------------------------------------------------------------------------

@description('Object id of who runs the deployment and writes the secrets; empty if somebody else does.')
param deployerPrincipalId string

@allowed([
  'User'
  'ServicePrincipal'
])
param deployerPrincipalType string

// An action group without the application's ids would be refused late, or sign in to nothing.
var lacksApplication = webhookMode == 'secure' && (empty(webhookClientId) || empty(webhookObjectId))
var applicationId = lacksApplication ? fail('webhookMode secure: expected webhookClientId and webhookObjectId, made by infra/scripts/entra-app.sh') : webhookClientId

var token = uniqueString(subscription().id, environmentName, location)
var name = 'lakemend-${environmentName}'
var groupName = 'rg-${name}'
var appName = 'func-${name}-${token}'
var vaultName = 'kv-lm-${take(token, 10)}-${take(environmentName, 4)}'
var tablePrefix = 'lakemend'
var allTags = union(tags, {
  'azd-env-name': environmentName
  application: 'lakemend'
})

// A module's scope is looked at even where its condition is false.
var sourceSubscription = empty(sourceStorage.name) ? subscription().subscriptionId : sourceStorage.subscriptionId
var sourceGroup = empty(sourceStorage.name) ? groupName : sourceStorage.resourceGroup

var factoryTargets = [for factory in dataFactories: {
  kind: 'data_factory'
  name: factory.name
  subscription_id: factory.subscriptionId
  resource_group: factory.resourceGroup
  environment: factory.environment
}]
var workspaceTargets = [for workspace in workspaces: {
  kind: 'databricks'
  name: workspace.name
  host: workspace.host
  workspace_id: workspace.workspaceId
  resource_id: resourceId(workspace.subscriptionId, workspace.resourceGroup, 'Microsoft.Databricks/workspaces', workspace.name)
  environment: workspace.environment
}]

var blobZone = 'privatelink.blob.${environment().suffixes.storage}'
var queueZone = 'privatelink.queue.${environment().suffixes.storage}'
var tableZone = 'privatelink.table.${environment().suffixes.storage}'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: groupName
  location: location
  tags: allTags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${name}'
    location: location
    tags: allTags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
    appPrincipalId: identity.outputs.principalId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'stlm${token}'
    location: location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    tablePrefix: tablePrefix
    deadLetterDays: deadLetterDays
    isPrivate: isPrivate
    workspaceId: monitoring.outputs.workspaceId
    skuName: storageSku
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: vaultName
    location: location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    deployerPrincipalId: deployerPrincipalId
    deployerPrincipalType: deployerPrincipalType
    isPrivate: isPrivate
    deployerAddresses: deployerAddresses
    workspaceId: monitoring.outputs.workspaceId
    webhookMode: webhookMode
  }
}

module network 'modules/network.bicep' = if (isPrivate) {
  name: 'network'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    addressPrefix: addressPrefix
  }
}

module blobEndpoint 'modules/private-endpoint.bicep' = if (isPrivate) {
  name: 'endpoint-blob'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    networkId: network!.outputs.networkId
    subnetId: network!.outputs.endpointSubnetId
    targetId: storage.outputs.id
    groupId: 'blob'
    zoneName: blobZone
  }
}

module queueEndpoint 'modules/private-endpoint.bicep' = if (isPrivate) {
  name: 'endpoint-queue'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    networkId: network!.outputs.networkId
    subnetId: network!.outputs.endpointSubnetId
    targetId: storage.outputs.id
    groupId: 'queue'
    zoneName: queueZone
  }
}

module tableEndpoint 'modules/private-endpoint.bicep' = if (isPrivate) {
  name: 'endpoint-table'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    networkId: network!.outputs.networkId
    subnetId: network!.outputs.endpointSubnetId
    targetId: storage.outputs.id
    groupId: 'table'
    zoneName: tableZone
  }
}

module vaultEndpoint 'modules/private-endpoint.bicep' = if (isPrivate) {
  name: 'endpoint-vault'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    networkId: network!.outputs.networkId
    subnetId: network!.outputs.endpointSubnetId
    targetId: vault.outputs.id
    groupId: 'vault'
    zoneName: 'privatelink.vaultcore.azure.net'
  }
}

module scheduler 'modules/scheduler.bicep' = if (orchestrationBackend == 'scheduler') {
  name: 'scheduler'
  scope: group
  params: {
    name: 'dts-${name}'
    location: location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    appClientId: identity.outputs.clientId
    skuName: schedulerSku
    retentionDays: retentionDays
  }
}

module source 'modules/source-reader.bicep' = if (!empty(sourceStorage.name)) {
  name: 'lakemend-source-${environmentName}'
  scope: resourceGroup(sourceSubscription, sourceGroup)
  params: {
    accountName: sourceStorage.name
    appPrincipalId: identity.outputs.principalId
  }
}

module app 'modules/function.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: appName
    location: location
    tags: allTags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    blobEndpoint: storage.outputs.blobEndpoint
    queueEndpoint: storage.outputs.queueEndpoint
    tableEndpoint: storage.outputs.tableEndpoint
    deploymentContainer: storage.outputs.deploymentContainer
    insightsConnectionString: monitoring.outputs.connectionString
    vaultName: vault.outputs.name
    workspaceId: monitoring.outputs.workspaceId
    subnetId: isPrivate ? network!.outputs.appSubnetId : ''
    schedulerConnectionString: orchestrationBackend == 'scheduler' ? scheduler!.outputs.connectionString : ''
    taskHub: orchestrationBackend == 'scheduler' ? scheduler!.outputs.taskHub : ''
    vaultSettings: vaultSettings
    targets: string(concat(factoryTargets, workspaceTargets))
    mode: mode
    enabled: enabled
    maxRetries: maxRetries
    maxWorkers: maxWorkers
    retentionDays: retentionDays
    sweepLookbackMinutes: sweepLookbackMinutes
    tablePrefix: tablePrefix
    environmentName: environmentName
    catalogPath: catalogPath
    policyPath: policyPath
    rerunnable: rerunnable
    maxCostUsd: maxCostUsd
    packageIndexUrl: packageIndexUrl
    playbookHosts: playbookHosts
    sourceStorageUrl: empty(sourceStorage.name) ? '' : source!.outputs.blobEndpoint
    webhookClientId: applicationId
    maximumInstances: maximumInstances
    instanceMemory: instanceMemory
    alwaysReady: alwaysReady
  }
  dependsOn: [
    blobEndpoint
    queueEndpoint
    tableEndpoint
    vaultEndpoint
  ]
}

module events 'modules/events.bicep' = {
  name: 'events'
  scope: group
  params: {
    name: 'evgt-${name}-${token}'
    location: location
    tags: allTags
    storageName: storage.outputs.name
    deadLetterContainer: storage.outputs.deadLetterContainer
    publisherPrincipalIds: publisherPrincipalIds
    workspaceId: monitoring.outputs.workspaceId
  }
}

module people 'modules/action-group.bicep' = {
  name: 'people'
  scope: group
  params: {
    name: 'ag-${name}-people'
    tags: allTags
    shortName: 'lm-people'
    webhookMode: 'none'
    hostName: ''
    webhookClientId: ''
    webhookObjectId: ''
    emails: emails
  }
}

module intake 'modules/action-group.bicep' = if (webhookMode != 'key') {
  name: 'intake'
  scope: group
  params: {
    name: 'ag-${name}'
    tags: allTags
    shortName: 'lakemend'
    webhookMode: webhookMode
    hostName: app.outputs.hostName
    webhookClientId: applicationId
    webhookObjectId: webhookObjectId
    emails: []
  }
}

resource keys 'Microsoft.KeyVault/vaults@2024-11-01' existing = if (webhookMode == 'key') {
  name: vaultName
  scope: group
}

module intakeByKey 'modules/action-group.bicep' = if (webhookMode == 'key') {
  name: 'intake-by-key'
  scope: group
  params: {
    name: 'ag-${name}'
    tags: allTags
    shortName: 'lakemend'
    webhookMode: webhookMode
    hostName: app.outputs.hostName
    webhookClientId: ''
    webhookObjectId: ''
    emails: []
    senderKey: keys.getSecret('action-group-key')
  }
}

var intakeId = webhookMode == 'key' ? intakeByKey!.outputs.id : intake!.outputs.id

module failureAlerts 'modules/failure-alerts.bicep' = {
  name: 'failure-alerts'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: intakeId
    peopleGroupId: people.outputs.id
    hasWorkspaces: !empty(workspaces)
  }
}

module ownAlerts 'modules/own-alerts.bicep' = {
  name: 'own-alerts'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    peopleGroupId: people.outputs.id
    topicId: events.outputs.id
    appId: app.outputs.id
  }
}

// In mode `none` nothing is sent to Lakemend, so no heartbeat could come.
module heartbeat 'modules/heartbeat.bicep' = if (webhookMode != 'none') {
  name: 'heartbeat'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: intakeId
    peopleGroupId: people.outputs.id
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    displayName: 'Lakemend ${environmentName}'
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module budget 'modules/budget.bicep' = if (budgetAmount > 0 && !empty(budgetStart) && !empty(emails)) {
  name: 'budget'
  scope: group
  params: {
    name: name
    amount: budgetAmount
    startDate: budgetStart
    emails: emails
  }
}

module factories 'modules/factory.bicep' = [for factory in dataFactories: {
  name: 'lakemend-${environmentName}-adf-${take(factory.name, 40)}'
  scope: resourceGroup(factory.subscriptionId, factory.resourceGroup)
  params: {
    factoryName: factory.name
    environmentName: environmentName
    location: factory.location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: intakeId
    peopleGroupId: people.outputs.id
    rerunsTriggers: rerunsTriggers
  }
}]

module databricks 'modules/databricks.bicep' = [for workspace in workspaces: {
  name: 'lakemend-${environmentName}-dbx-${take(workspace.name, 40)}'
  scope: resourceGroup(workspace.subscriptionId, workspace.resourceGroup)
  params: {
    workspaceName: workspace.name
    environmentName: environmentName
    tags: allTags
    logWorkspaceId: monitoring.outputs.workspaceId
    peopleGroupId: people.outputs.id
  }
}]

// What the scripts and the pipeline need to know. No secret is among them.
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_APP string = app.outputs.name
output AZURE_KEY_VAULT string = vault.outputs.name
output AZURE_STORAGE_ACCOUNT string = storage.outputs.name
output AZURE_EVENT_TOPIC string = events.outputs.name
output LAKEMEND_URL string = 'https://${app.outputs.hostName}'
output LAKEMEND_EVENT_ENDPOINT string = events.outputs.endpoint
output LAKEMEND_IDENTITY_CLIENT_ID string = identity.outputs.clientId
output LAKEMEND_VAULT_SETTINGS string = join(vaultSettings, ' ')
