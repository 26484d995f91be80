"""Seasons: agents meet the same market again and again, and decide in between."""
