"""Who gets which work, at what price, and who owes whom."""
