// Alerts on Lakemend itself. They go to people, never to Lakemend.
// Each query returns rows only when something is wrong; the file of the same name says what.

param name string
param location string
param tags object
param workspaceId string
param peopleGroupId string
param topicId string
param appId string

var rules = [
  {
    key: 'sweep-not-running'
    text: 'The dispatch sweep has not run for 15 minutes: the app is down, or its timers are.'
    severity: 1
    frequency: 'PT5M'
    window: 'PT1H'
    query: loadTextContent('../workbook/queries/sweep-not-running.kql')
  }
  {
    key: 'selftest-silent'
    text: 'No synthetic alert came through the whole path within two hours: deployed, but it may not fire.'
    severity: 1
    frequency: 'PT30M'
    window: 'PT6H'
    query: loadTextContent('../workbook/queries/selftest-silent.kql')
  }
  {
    key: 'poison-input'
    text: 'Messages came in that could not be understood.'
    severity: 2
    frequency: 'PT15M'
    window: 'PT30M'
    query: loadTextContent('../workbook/queries/poison-input.kql')
  }
  {
    key: 'refused-input'
    text: 'Callers were turned away, or alerts named things that are not listed targets.'
    severity: 3
    frequency: 'PT15M'
    window: 'PT1H'
    query: loadTextContent('../workbook/queries/refused-input.kql')
  }
  {
    key: 'escalated'
    text: 'Incidents were handed to people.'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    query: loadTextContent('../workbook/queries/escalated.kql')
  }
  {
    key: 'breaker-open'
    text: 'The circuit breaker keeps remedies from running.'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    query: loadTextContent('../workbook/queries/breaker-open.kql')
  }
  {
    key: 'function-failing'
    text: 'Functions end with errors.'
    severity: 2
    frequency: 'PT5M'
    window: 'PT15M'
    query: loadTextContent('../workbook/queries/function-failing.kql')
  }
]

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for rule in rules: {
  name: '${name}-${rule.key}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'Lakemend itself: ${rule.key}'
    description: rule.text
    severity: rule.severity
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: rule.frequency
    windowSize: rule.window
    autoMitigate: true
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: rule.query
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
}]

resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-dead-letters'
  location: 'global'
  tags: tags
  properties: {
    description: 'Events could not be delivered to Lakemend for a day and were put aside.'
    severity: 2
    enabled: true
    scopes: [
      topicId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'dead'
          metricNamespace: 'Microsoft.EventGrid/topics'
          metricName: 'DeadLetteredCount'
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
        }
      ]
    }
    actions: [
      {
        actionGroupId: peopleGroupId
      }
    ]
  }
}

resource appHealth 'Microsoft.Insights/activityLogAlerts@2020-10-01' = {
  name: '${name}-app-health'
  location: 'global'
  tags: tags
  properties: {
    description: 'Azure says that the function app is not available.'
    enabled: true
    scopes: [
      appId
    ]
    condition: {
      allOf: [
        {
          field: 'category'
          equals: 'ResourceHealth'
        }
        {
          field: 'properties.currentHealthStatus'
          equals: 'Unavailable'
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
