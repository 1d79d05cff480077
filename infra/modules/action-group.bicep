// Sends alerts to Lakemend, and mails to people. Three ways in:
//   secure  a token of the tenant, checked in front of the app (default)
//   key     a key in the address, for tenants where no application can be registered
//   none    mails only: the first provisioning in mode `key`, before the key exists

param name string
param tags object

@maxLength(12)
param shortName string

@allowed([
  'secure'
  'key'
  'none'
])
param webhookMode string

param hostName string
param webhookClientId string
param webhookObjectId string
param emails array

@description('Mode key: the sender key, from the vault.')
@secure()
param senderKey string = ''

var address = 'https://${hostName}/azure-monitor'

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: name
  location: 'global'
  tags: tags
  properties: {
    groupShortName: shortName
    enabled: true
    webhookReceivers: webhookMode == 'none' ? [] : webhookMode == 'secure' ? [
      {
        name: 'lakemend'
        serviceUri: address
        useCommonAlertSchema: true
        useAadAuth: true
        objectId: webhookObjectId
        identifierUri: 'api://${webhookClientId}'
        tenantId: tenant().tenantId
      }
    ] : [
      {
        name: 'lakemend'
        serviceUri: '${address}?api_key=${senderKey}'
        useCommonAlertSchema: true
      }
    ]
    emailReceivers: [for (email, index) in emails: {
      name: 'person-${index}'
      emailAddress: email
      useCommonAlertSchema: true
    }]
  }
}

output id string = group.id
