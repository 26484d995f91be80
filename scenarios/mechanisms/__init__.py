"""A figure for every scenario: what it varies, what it reads, and how it is drawn."""
