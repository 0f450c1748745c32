"""What needs a real container engine."""
