"""The compiled advance of a run: its columns, its calendar, and what happens at each instant."""
