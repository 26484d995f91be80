"""Ways to check work, behind one interface: what each declares, and what each task comes to."""
