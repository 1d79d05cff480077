// One data factory that Lakemend looks after: what we may do there, its logs to us, its metric alerts.
// Deployed into the factory's own resource group, in the factory's own subscription.

@description('Name of the factory, in this resource group.')
param factoryName string

@description('Environment of Lakemend; part of every name here, because another may look after the same one.')
param environmentName string

param location string
param tags object
param appPrincipalId string
param workspaceId string
param actionGroupId string
param peopleGroupId string

@description('Whether runs of tumbling-window triggers are rerun through their trigger.')
param rerunsTriggers bool

// Exactly what the code calls. Every query needs the action and the right to read its result.
// https://learn.microsoft.com/azure/role-based-access-control/permissions/analytics#microsoftdatafactory
var runActions = [
  'Microsoft.DataFactory/factories/pipelines/read'
  'Microsoft.DataFactory/factories/pipelines/createrun/action'
  'Microsoft.DataFactory/factories/pipelineruns/read'
  'Microsoft.DataFactory/factories/querypipelineruns/action'
  'Microsoft.DataFactory/factories/querypipelineruns/read'
  'Microsoft.DataFactory/factories/pipelineruns/queryactivityruns/action'
  'Microsoft.DataFactory/factories/pipelineruns/queryactivityruns/read'
  'Microsoft.DataFactory/factories/pipelineruns/activityruns/read'
  'Microsoft.DataFactory/factories/integrationruntimes/read'
  'Microsoft.DataFactory/factories/integrationruntimes/getstatus/read'
  'Microsoft.DataFactory/factories/linkedServices/read'
]
var triggerActions = [
  'Microsoft.DataFactory/factories/triggers/triggerruns/rerun/action'
]

resource factory 'Microsoft.DataFactory/factories@2018-06-01' existing = {
  name: factoryName
}

resource runRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(factory.id, 'lakemend-runs')
  properties: {
    roleName: 'Lakemend runs of ${factoryName} (${uniqueString(factory.id)})'
    description: 'Reads pipelines, runs, runtimes and linked services, starts pipeline runs; changes no pipeline.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: runActions
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource runs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(factory.id, appPrincipalId, 'lakemend-runs')
  scope: factory
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: runRole.id
  }
}

// Remedy `rerun` on runs that a tumbling-window trigger started.
resource triggerRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = if (rerunsTriggers) {
  name: guid(factory.id, 'lakemend-trigger-reruns')
  properties: {
    roleName: 'Lakemend trigger reruns of ${factoryName} (${uniqueString(factory.id)})'
    description: 'Reruns windows of tumbling-window triggers.'
    type: 'CustomRole'
    assignableScopes: [
      resourceGroup().id
    ]
    permissions: [
      {
        actions: triggerActions
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

resource triggerReruns 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (rerunsTriggers) {
  name: guid(factory.id, appPrincipalId, 'lakemend-trigger-reruns')
  scope: factory
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: triggerRole.id
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'lakemend-${environmentName}'
  scope: factory
  properties: {
    workspaceId: workspaceId
    // One table a category, with real columns: ADFPipelineRun, ADFActivityRun, ADFTriggerRun.
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'PipelineRuns'
        enabled: true
      }
      {
        category: 'ActivityRuns'
        enabled: true
      }
      {
        category: 'TriggerRuns'
        enabled: true
      }
    ]
  }
}

// The second line: comes even when logs are late or the diagnostic setting is gone.
resource failedRuns 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'lakemend-${environmentName}-${factoryName}-failed-runs'
  location: 'global'
  tags: tags
  properties: {
    description: 'Pipeline runs of ${factoryName} failed. Silent while fired: the log alert is the first line.'
    severity: 3
    enabled: true
    scopes: [
      factory.id
    ]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    autoMitigate: true
    targetResourceType: 'Microsoft.DataFactory/factories'
    targetResourceRegion: location
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'failed'
          metricNamespace: 'Microsoft.DataFactory/factories'
          metricName: 'PipelineFailedRuns'
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
          dimensions: [
            {
              name: 'Name'
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
        }
      ]
    }
    actions: [
      {
        actionGroupId: actionGroupId
      }
    ]
  }
}

module platform 'platform-alerts.bicep' = {
  name: 'platform-${environmentName}-${take(factoryName, 42)}'
  params: {
    name: 'lakemend-${environmentName}-${factoryName}'
    tags: tags
    peopleGroupId: peopleGroupId
    watchedId: factory.id
    deleteOperation: 'Microsoft.DataFactory/factories/delete'
  }
}

output id string = factory.id
