"""What is read of a closed run, and the tidy tables in which it is laid out."""
