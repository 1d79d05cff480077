// Mails when the resource group costs more than was planned. It stops nothing.

targetScope = 'resourceGroup'

param name string

@description('Planned cost of a month, in the currency of the subscription.')
param amount int

@description('First day of the first month, yyyy-MM-01. Azure refuses one that lies more than a year back.')
param startDate string

param emails array

resource budget 'Microsoft.Consumption/budgets@2024-08-01' = {
  name: name
  properties: {
    category: 'Cost'
    amount: amount
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: startDate
    }
    notifications: {
      soon: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 80
        thresholdType: 'Forecasted'
        contactEmails: emails
      }
      over: {
        enabled: true
        operator: 'GreaterThan'
        threshold: 100
        thresholdType: 'Actual'
        contactEmails: emails
      }
    }
  }
}
