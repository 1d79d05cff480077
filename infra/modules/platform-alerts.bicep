// What explains many failures at once: somebody deleted the factory or the workspace, or Azure itself
// says that it is not well. People are told; there is nothing here for Lakemend to heal.

@description('Start of the rules\' names.')
param name string
param tags object
param peopleGroupId string

@description('Id of the watched factory or workspace.')
param watchedId string

@description('Operation that deletes it, such as Microsoft.DataFactory/factories/delete.')
param deleteOperation string

resource deleted 'Microsoft.Insights/activityLogAlerts@2020-10-01' = {
  name: '${name}-deleted'
  location: 'global'
  tags: tags
  properties: {
    description: 'A factory or workspace that Lakemend looks after was deleted.'
    enabled: true
    scopes: [
      watchedId
    ]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'Administrative'
        }
        {
          field: 'operationName'
          equals: deleteOperation
        }
        {
          field: 'status'
          equals: 'Succeeded'
        }
      ]
    }
    actions: {
      actionGroups: [
        {
          actionGroupId: peopleGroupId
        }
      ]
    }
  }
}

// https://learn.microsoft.com/azure/service-health/resource-health-alert-arm-template-guide
resource health 'Microsoft.Insights/activityLogAlerts@2020-10-01' = {
  name: '${name}-health'
  location: 'global'
  tags: tags
  properties: {
    description: 'Azure says that a factory or workspace that Lakemend looks after is not well.'
    enabled: true
    scopes: [
      watchedId
    ]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'ResourceHealth'
        }
        {
          anyOf: [
            {
              field: 'properties.currentHealthStatus'
              equals: 'Unavailable'
            }
            {
              field: 'properties.currentHealthStatus'
              equals: 'Degraded'
            }
          ]
        }
      ]
    }
    actions: {
      actionGroups: [
        {
          actionGroupId: peopleGroupId
        }
      ]
    }
  }
}
