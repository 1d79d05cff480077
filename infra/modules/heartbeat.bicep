// Does an alert of Azure Monitor still reach Lakemend? A rule fires every hour, through the same action
// group, token and sign-in as a failure; Lakemend counts its alerts and heals nothing. Another rule
// tells people when the count stays away. The app's own self-test begins behind all of that.
//
// The rule is stateless (it does not resolve by itself), so it fires at each evaluation.
// https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-overview#stateless-alerts

param name string
param location string
param tags object
param workspaceId string

@description('The action group that sends failures to Lakemend.')
param actionGroupId string

@description('Action group of the people who look after Lakemend.')
param peopleGroupId string

resource beat 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-heartbeat'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Lakemend: heartbeat'
    description: 'Fires every hour on purpose, so that a broken way to Lakemend is seen. Nothing is wrong.'
    severity: 4
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: 'PT1H'
    windowSize: 'PT1H'
    autoMitigate: false
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../workbook/queries/heartbeat.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          // By this column the app knows it: shared/intake/azure_monitor.py.
          dimensions: [
            {
              name: 'LakemendHeartbeat'
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        actionGroupId
      ]
    }
  }
}

resource silence 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-heartbeat-silent'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Lakemend itself: heartbeat-silent'
    description: 'No alert of Azure Monitor came through to Lakemend for three hours: failures would not either.'
    severity: 1
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: 'PT30M'
    windowSize: 'PT6H'
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../workbook/queries/heartbeat-silent.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        peopleGroupId
      ]
    }
  }
}
