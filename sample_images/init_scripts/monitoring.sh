#!/bin/bash

# Listeners of Spark go where the driver finds its jars.
cp -f /opt/monitoring/*.jar /mnt/driver-daemon/jars || echo "no listener was installed" >&2
