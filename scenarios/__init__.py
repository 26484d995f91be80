"""What we ask, and what we learn."""
