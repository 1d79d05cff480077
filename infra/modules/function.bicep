// The function app on Flex Consumption, its settings and its sign-in.
//
// `settings` below is the one list of app settings. Every setting that the code reads is in it or in
// the table LOCAL_ONLY of tests/infra/settings_rules.py, with the reason.

param name string
param location string
param tags object

param identityId string
param identityClientId string
param blobEndpoint string
param queueEndpoint string
param tableEndpoint string
param deploymentContainer string
param insightsConnectionString string
param vaultName string
param workspaceId string

@description('Empty: no network of its own.')
param subnetId string

@description('Empty: the storage account is the backend of the orchestrations.')
param schedulerConnectionString string
param taskHub string

@description('Names of the settings whose values the vault holds; the others of that kind stay empty.')
param vaultSettings array

@description('JSON list of the factories and workspaces that may be touched, as the setting TARGETS.')
param targets string

@allowed([
  'observe'
  'pilot'
  'production'
])
param mode string
param enabled bool
param maxRetries int
param maxWorkers int
param retentionDays int
param sweepLookbackMinutes int

@description('SQL warehouse that reads the system tables: its id, or <workspace>/<id>; empty: none.')
param systemTablesWarehouseId string = ''
param tablePrefix string
param environmentName string
param catalogPath string
param policyPath string
param rerunnable string
param maxCostUsd string
param packageIndexUrl string
param playbookHosts string
param sourceStorageUrl string

@description('Application id of the Entra application that action groups sign in to. Empty: keys only.')
param webhookClientId string

@description('Instances at most.')
@minValue(40)
@maxValue(1000)
param maximumInstances int

@allowed([
  512
  2048
  4096
])
param instanceMemory int

@description('Instances that are always warm, for HTTP and for orchestrations each.')
param alwaysReady int

// What an Entra caller's app role lets it do. The first name is the one that Microsoft's own set-up of
// a secure webhook uses.
// https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#configure-authentication-for-secure-webhook
var appRoles = {
  ActionGroupsSecureWebhook: [
    'sender'
  ]
  'Lakemend.Reader': [
    'reader'
  ]
  'Lakemend.Approver': [
    'reader'
    'approver'
  ]
  'Lakemend.Deployer': [
    'reader'
    'deployer'
  ]
}

// Secret names are of letters, digits and dashes, so API_KEYS is the secret API-KEYS.
// https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
var vaultReference = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName='

var settings = {
  AUTO_REMEDIATION_MODE: mode
  AUTO_REMEDIATION_ENABLED: string(enabled)
  AUTO_REMEDIATION_MAX_RETRIES: string(maxRetries)
  AUTO_REMEDIATION_MAX_WORKERS: string(maxWorkers)
  AUTO_REMEDIATION_MAX_COST_USD: maxCostUsd
  POLICY_PATH: policyPath
  RERUNNABLE: rerunnable
  APPROVAL_SIGNING_KEY: contains(vaultSettings, 'APPROVAL_SIGNING_KEY') ? '${vaultReference}APPROVAL-SIGNING-KEY)' : ''
  NOTIFICATION_URLS: contains(vaultSettings, 'NOTIFICATION_URLS') ? '${vaultReference}NOTIFICATION-URLS)' : ''
  API_KEYS: contains(vaultSettings, 'API_KEYS') ? '${vaultReference}API-KEYS)' : ''
  APP_SERVICE_AUTH: empty(webhookClientId) ? '' : string(appRoles)
  TARGETS: targets
  ENVIRONMENT: environmentName
  AZURE_RESOURCE_MANAGER_ENDPOINT: environment().resourceManager
  PLATFORM_CALL_TIMEOUT_SECONDS: '30'
  AUDIT_STORAGE_ACCOUNT_URL: tableEndpoint
  AUDIT_TABLE_PREFIX: tablePrefix
  AUDIT_SIGNING_KEY: contains(vaultSettings, 'AUDIT_SIGNING_KEY') ? '${vaultReference}AUDIT-SIGNING-KEY)' : ''
  RETENTION_DAYS: string(retentionDays)
  CATALOG_PATH: catalogPath
  PLAYBOOK_RETRY_PIPELINE: contains(vaultSettings, 'PLAYBOOK_RETRY_PIPELINE') ? '${vaultReference}PLAYBOOK-RETRY-PIPELINE)' : ''
  PLAYBOOK_RERUN_UPSTREAM: contains(vaultSettings, 'PLAYBOOK_RERUN_UPSTREAM') ? '${vaultReference}PLAYBOOK-RERUN-UPSTREAM)' : ''
  PLAYBOOK_RESTART_CLUSTER: contains(vaultSettings, 'PLAYBOOK_RESTART_CLUSTER') ? '${vaultReference}PLAYBOOK-RESTART-CLUSTER)' : ''
  PLAYBOOK_RETRY_JOB: contains(vaultSettings, 'PLAYBOOK_RETRY_JOB') ? '${vaultReference}PLAYBOOK-RETRY-JOB)' : ''
  PLAYBOOK_REINSTALL_LIBRARIES: contains(vaultSettings, 'PLAYBOOK_REINSTALL_LIBRARIES') ? '${vaultReference}PLAYBOOK-REINSTALL-LIBRARIES)' : ''
  PLAYBOOK_HOSTS: playbookHosts
  PACKAGE_INDEX_URL: packageIndexUrl
  SOURCE_STORAGE_ACCOUNT_URL: sourceStorageUrl
  PUBLIC_URL: 'https://${app.properties.defaultHostName}'
  MAX_ALERT_BYTES: '1048576'
  SWEEP_LOOKBACK_MINUTES: string(sweepLookbackMinutes)
  SYSTEM_TABLES_WAREHOUSE_ID: systemTablesWarehouseId
  KEY_VAULT_URLS: 'https://${vaultName}${environment().suffixes.keyvaultDns}'
  PYTHON_THREADPOOL_THREAD_COUNT: '16'
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
}

// What the host and the SDKs read, not our code.
var platformSettings = {
  AZURE_CLIENT_ID: identityClientId
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__queueServiceUri: queueEndpoint
  AzureWebJobsStorage__tableServiceUri: tableEndpoint
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  // With "telemetryMode" in host.json: the worker hands its log lines to us, the host sends none of
  // them a second time, and each invocation continues the host's trace.
  // https://learn.microsoft.com/azure/azure-functions/opentelemetry-howto
  PYTHON_ENABLE_OPENTELEMETRY: 'true'
  // How the host and our exporter sign in to Application Insights, whose keys are switched off.
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
  // The exporter library's statistics about itself, and its being steered from outside.
  APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL: 'true'
  APPLICATIONINSIGHTS_SDKSTATS_DISABLED: 'true'
  APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED: 'true'
  // The app's own pinned libraries, not the worker's: CloudEvents need a recent azure-functions.
  PYTHON_ISOLATE_WORKER_DEPENDENCIES: '1'
}

var schedulerSettings = {
  DURABLE_TASK_SCHEDULER_CONNECTION_STRING: schedulerConnectionString
  TASKHUB_NAME: taskHub
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  kind: 'functionapp,linux'
  // `azd deploy` finds the app by this tag.
  tags: union(tags, {
    'azd-service-name': 'app'
  })
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    clientCertEnabled: false
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      remoteDebuggingEnabled: false
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}${deploymentContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: '3.11'
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstances
        instanceMemoryMB: instanceMemory
        alwaysReady: alwaysReady == 0 ? [] : [
          {
            name: 'http'
            instanceCount: alwaysReady
          }
          {
            name: 'durable'
            instanceCount: alwaysReady
          }
        ]
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: union(settings, platformSettings, empty(schedulerConnectionString) ? {} : schedulerSettings)
}

// Tokens are checked here, in front of the app; calls without one pass through to the app's own keys.
// The header with the caller's roles cannot be sent from outside once this is on.
resource signIn 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: {
      enabled: !empty(webhookClientId)
    }
    globalValidation: {
      requireAuthentication: false
      unauthenticatedClientAction: 'AllowAnonymous'
    }
    httpSettings: {
      requireHttps: true
    }
    identityProviders: {
      azureActiveDirectory: {
        enabled: !empty(webhookClientId)
        registration: {
          clientId: webhookClientId
          openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
        }
        validation: {
          allowedAudiences: [
            webhookClientId
            'api://${webhookClientId}'
          ]
        }
      }
    }
    login: {
      tokenStore: {
        enabled: false
      }
    }
  }
  dependsOn: [
    appSettings
  ]
}

resource noFtpPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource noScmPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
  dependsOn: [
    noFtpPassword
  ]
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-log-analytics'
  scope: app
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'FunctionAppLogs'
        enabled: true
      }
    ]
  }
}

output id string = app.id
output name string = app.name
output hostName string = app.properties.defaultHostName
