#!/bin/sh
# Runs before the IPFS node does: it looks for nobody and is announced nowhere, as the one of `artdag up --with ipfs`.
set -e
ipfs bootstrap rm --all
ipfs config Routing.Type none
ipfs config --json Discovery.MDNS.Enabled false
ipfs config --json Swarm.RelayClient.Enabled false
ipfs config --json Addresses.Swarm '[]'
ipfs config --json Addresses.Gateway '[]'
