// The Event Grid topic that Databricks jobs and others publish failures to. Who publishes needs the
// role EventGrid Data Sender; there are no keys. Its subscription is made after the code is deployed:
// event-subscription.bicep.

param name string
param location string
param tags object
param storageName string
param deadLetterContainer string
param workspaceId string

@description('Object ids of the service principals that publish.')
param publisherPrincipalIds array

var dataSender = 'd5a91429-5739-47e2-a06b-3470a27159e7' // EventGrid Data Sender
var blobContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // Storage Blob Data Contributor

resource topic 'Microsoft.EventGrid/topics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    inputSchema: 'CloudEventSchemaV1_0'
    disableLocalAuth: true
    minimumTlsVersionAllowed: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource publishers 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for principal in publisherPrincipalIds: {
  name: guid(topic.id, principal, dataSender)
  scope: topic
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataSender)
  }
}]

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' existing = {
  name: '${storageName}/default/${deadLetterContainer}'
}

resource writesDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(container.id, topic.id, blobContributor)
  scope: container
  properties: {
    principalId: topic.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobContributor)
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: topic
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'DeliveryFailures'
        enabled: true
      }
      {
        category: 'PublishFailures'
        enabled: true
      }
    ]
  }
}

output id string = topic.id
output name string = topic.name
output endpoint string = topic.properties.endpoint
