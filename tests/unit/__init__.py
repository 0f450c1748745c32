"""What needs no engine and runs in seconds."""
