"""What a run says: findings as plain data, and those who show them."""
