"""The field's mechanisms and contracts, as pure functions that any study may put side by side."""
