// One Databricks workspace that Lakemend looks after: its logs to us. What Lakemend may do inside the
// workspace is no Azure role; infra/databricks/grants.py grants it. Needs the Premium plan.
// https://learn.microsoft.com/azure/databricks/admin/account-settings/audit-log-delivery

@description('Name of the Azure resource, in this resource group.')
param workspaceName string

@description('Environment of Lakemend; part of every name here, because another may look after the same one.')
param environmentName string

param tags object
param logWorkspaceId string
param peopleGroupId string

resource databricks 'Microsoft.Databricks/workspaces@2024-05-01' existing = {
  name: workspaceName
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'lakemend-${environmentName}'
  scope: databricks
  properties: {
    workspaceId: logWorkspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      {
        category: 'jobs'
        enabled: true
      }
    ]
  }
}

module platform 'platform-alerts.bicep' = {
  name: 'platform-${environmentName}-${take(workspaceName, 42)}'
  params: {
    name: 'lakemend-${environmentName}-${workspaceName}'
    tags: tags
    peopleGroupId: peopleGroupId
    watchedId: databricks.id
    deleteOperation: 'Microsoft.Databricks/workspaces/delete'
  }
}
