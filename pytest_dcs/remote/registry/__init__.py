"""What the nodes of a cluster will find in the registry, asked before a launch costs anything."""
