"""What we ask, and what we learn: from a scenario through runs to tables, figures and a page.

`scenario` reads a question, `draw` makes its worlds, `run` and `experiment` run regimes on them,
`results` keeps what came out, and `report` shows it. All else is in folders by purpose, which
CONTRIBUTING.md lists. Files are read and written here alone.
"""
