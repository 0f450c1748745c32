"""The built-in checks: one module per family of rules, each check a small pytest function."""
