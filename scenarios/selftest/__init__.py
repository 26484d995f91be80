"""Cases whose answer is known on paper, put through the real engine."""
