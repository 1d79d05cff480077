// The rules that tell Lakemend of failed work. They look into our Log Analytics workspace, which the
// diagnostic settings of factory.bicep and databricks.bicep fill.
//
// One alert a failed run: the rule splits by the run's id and does not resolve by itself. A metric
// alert is silent while it is fired, so that a second failure within the hour would go unseen; it is
// the second line, in factory.bicep.
// https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-types#log-alerts
//
// The window is three evaluations long because logs arrive late. The same run may therefore be told
// more than once; the ledger joins those alerts to one incident.

param name string
param location string
param tags object
param workspaceId string
param actionGroupId string

@description('Action group of the people who look after the platform.')
param peopleGroupId string

@description('Whether Databricks job runs are looked for in the logs too.')
param hasWorkspaces bool

var runDimensions = [
  'RunId'
  'PipelineName'
  '_ResourceId'
  'FailureType'
  'ErrorCode'
  'ErrorMessage'
]
var jobDimensions = [
  'JobRunId'
  '_ResourceId'
]

resource pipelineRuns 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-failed-pipeline-runs'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Lakemend: failed pipeline runs'
    description: 'A Data Factory pipeline run failed. One alert a run, sent to Lakemend.'
    severity: 2
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: false
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../workbook/queries/failed-pipeline-runs.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [for dimension in runDimensions: {
            name: dimension
            operator: 'Include'
            values: [
              '*'
            ]
          }]
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

// A pipeline can go on after a failed activity, because its author caught the failure or because the
// run hangs. There may be nothing to heal, so people are told, not Lakemend.
resource failedActivities 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-failed-activity-runs'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Lakemend: activity failed, its pipeline run has not ended'
    description: 'An activity failed an hour ago or more, and its pipeline run has not ended since.'
    severity: 3
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: 'PT1H'
    windowSize: 'PT6H'
    autoMitigate: false
    muteActionsDuration: 'PT6H'
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../workbook/queries/failed-activity-runs.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [for dimension in runDimensions: {
            name: dimension
            operator: 'Include'
            values: [
              '*'
            ]
          }]
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

resource jobRuns 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = if (hasWorkspaces) {
  name: '${name}-failed-job-runs'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Lakemend: failed Databricks job runs'
    description: 'A Databricks job run failed. One alert a run, sent to Lakemend.'
    severity: 2
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT30M'
    autoMitigate: false
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: loadTextContent('../workbook/queries/failed-job-runs.kql')
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [for dimension in jobDimensions: {
            name: dimension
            operator: 'Include'
            values: [
              '*'
            ]
          }]
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
