"""Who decides: the columns of a world, and the Mesa agents that are views of their rows.

`world` is what is drawn before anything is decided, `model` the Mesa model that runs it under a
regime. Nodes, buyers, verifiers and hyperscalers hold no state of their own: each reads its row.
Decisions between runs (`hoarding`, `investing`, `learning_rules`) are functions of columns, too.
"""
