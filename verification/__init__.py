"""What a proof costs, how long it takes, what it catches."""
