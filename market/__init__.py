"""Who gets which work, at what price, and who owes whom.

`book` is what a plane of control sees, `router` and `regime` say what decides on it and how, and
`clearing` finds the assignment. `engine` advances a run, `accounts` reads what it leaves behind,
and `exchange` keeps the mechanisms and contracts of the field as pure functions. Who acts here is
in `hanse.agents`; what is asked, in `hanse.scenarios`.
"""
