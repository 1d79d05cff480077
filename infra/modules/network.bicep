// Optional: a network of its own for the app, and private endpoints for what it keeps.
// The app's own address stays public: action groups, Databricks and Event Grid call it from outside.

param name string
param location string
param tags object

@description('Address range of the network, at least a /24.')
param addressPrefix string

resource rules 'Microsoft.Network/networkSecurityGroups@2024-07-01' = {
  name: 'nsg-${name}'
  location: location
  tags: tags
  properties: {
    securityRules: []
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
  }
}

resource appSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-07-01' = {
  parent: network
  name: 'app'
  properties: {
    addressPrefix: cidrSubnet(addressPrefix, 26, 0)
    networkSecurityGroup: {
      id: rules.id
    }
    // Flex Consumption wants this delegation.
    // https://learn.microsoft.com/azure/azure-functions/flex-consumption-how-to#enable-virtual-network-integration
    delegations: [
      {
        name: 'functions'
        properties: {
          serviceName: 'Microsoft.App/environments'
        }
      }
    ]
  }
}

resource endpointSubnet 'Microsoft.Network/virtualNetworks/subnets@2024-07-01' = {
  parent: network
  name: 'endpoints'
  properties: {
    addressPrefix: cidrSubnet(addressPrefix, 26, 1)
    networkSecurityGroup: {
      id: rules.id
    }
    privateEndpointNetworkPolicies: 'Enabled'
  }
  // One subnet at a time: Azure refuses two changes of one network.
  dependsOn: [
    appSubnet
  ]
}

output networkId string = network.id
output appSubnetId string = appSubnet.id
output endpointSubnetId string = endpointSubnet.id
