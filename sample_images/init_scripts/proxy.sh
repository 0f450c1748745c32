#!/bin/bash
set -euo pipefail

# The proxy of the cluster comes from the machine's environment.
echo "looking for a proxy"
proxy=$(grep '^https_proxy=' /etc/environment | cut -d= -f2)
echo "export https_proxy=$proxy" >> /etc/profile.d/proxy.sh
