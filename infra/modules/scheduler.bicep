// Optional: Durable Task Scheduler as the backend of the orchestrations, in place of the storage
// account. Goes with infra/host.scheduler.json.
// https://learn.microsoft.com/azure/durable-task/scheduler/durable-task-scheduler

param name string
param location string
param tags object
param appPrincipalId string
param appClientId string

@allowed([
  'Consumption'
  'Dedicated'
])
param skuName string

@description('Days that ended orchestrations are kept.')
param retentionDays int

// Durable Task Data Contributor.
// https://learn.microsoft.com/azure/durable-task/scheduler/durable-task-scheduler-identity
var dataContributor = '0ad04412-c4d5-4796-b79c-f76d14c8d402'

resource scheduler 'Microsoft.DurableTask/schedulers@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: {
      name: skuName
    }
    // Every caller needs a token all the same; an empty list would let nobody in.
    ipAllowlist: [
      '0.0.0.0/0'
    ]
  }
}

resource hub 'Microsoft.DurableTask/schedulers/taskHubs@2026-02-01' = {
  parent: scheduler
  name: 'lakemend'
  properties: {}
}

resource retention 'Microsoft.DurableTask/schedulers/retentionPolicies@2026-02-01' = {
  parent: scheduler
  name: 'default'
  properties: {
    retentionPolicies: [
      {
        retentionPeriodInDays: retentionDays
      }
    ]
  }
}

resource runs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(scheduler.id, appPrincipalId, dataContributor)
  scope: scheduler
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataContributor)
  }
}

output taskHub string = hub.name
// Holds no secret: it names the address and which identity is used.
output connectionString string = 'Endpoint=${scheduler.properties.endpoint};Authentication=ManagedIdentity;ClientID=${appClientId}'
