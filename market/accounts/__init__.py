"""What is read from a closed run: its ledgers, its money, its debt, and who holds what."""
