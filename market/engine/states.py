"""The words of the two ledgers of time: states of a stage, labels of a unit, operations, causes."""

from typing import Final

# The states of a stage, in the order in which one attempt passes through them. DISPATCHED is the
# command on its way; LANDING the rest of that way when the preliminary operations came first.
TOOL: Final = 0
IN_FLIGHT: Final = 1
QUEUED: Final = 2
IN_SERVICE: Final = 3
AWAITING_CLEARING: Final = 4
UNMATCHED: Final = 5
BOUNCED: Final = 6
REDO: Final = 7
RETRYING: Final = 8
AWAITING_SETTLEMENT: Final = 9
DISPATCHED: Final = 10
ON_IDENTITY: Final = 11
ON_POLICY: Final = 12
ON_STATE: Final = 13
ON_AUTHORITY: Final = 14
TRANSFERRING: Final = 15
LANDING: Final = 16
ON_CONTEXT: Final = 17
EXECUTING: Final = 18
DELIVERING: Final = 19
AWAITING_VERIFICATION: Final = 20
DONE: Final = 21
EXPIRED: Final = 22
N_STATES: Final = 23
N_WAITING_STATES: Final = 17

STATES: Final = (
    "tool",
    "message in flight",
    "queued",
    "in service",
    "awaiting clearing",
    "unmatched",
    "bounced",
    "redo",
    "retrying",
    "awaiting settlement",
    "dispatched",
    "on identity",
    "on policy",
    "on state",
    "on authority",
    "transferring",
    "landing",
    "on context",
    "executing",
    "delivering",
    "awaiting verification",
    "done",
    "expired",
)

OPERATIONS: Final = (
    "identity",
    "policy",
    "state",
    "authority",
    "context",
    "routing",
    "verification",
    "settlement",
)
IDENTITY, POLICY, STATE, AUTHORITY, CONTEXT, ROUTING, VERIFICATION, SETTLEMENT = range(8)

CAUSES: Final = (
    "crossing",
    "distance",
    "contention",
    "service",
    "staleness",
    "strategic",
    "verification",
    "jurisdiction",
    "market friction",
    "rule",
    "error",
    "failure",
    "power cap",
)
(
    CROSSING,
    DISTANCE,
    CONTENTION,
    SERVICE,
    STALENESS,
    STRATEGIC,
    AUDITING,
    JURISDICTION,
    FRICTION,
    RULE,
    ERROR,
    FAILURE,
    POWER_CAP,
) = range(13)

# Why a unit waits, if it waits for a stage in this state: (operation, cause). The time of an
# unmatched stage is split between RULE and STALENESS by how many idle units its plane cannot see.
BLAME: Final = {
    IN_FLIGHT: (ROUTING, DISTANCE),
    QUEUED: (ROUTING, CONTENTION),
    IN_SERVICE: (ROUTING, SERVICE),
    AWAITING_CLEARING: (ROUTING, FRICTION),
    UNMATCHED: (ROUTING, RULE),
    BOUNCED: (ROUTING, STALENESS),
    REDO: (VERIFICATION, STRATEGIC),
    RETRYING: (ROUTING, FAILURE),
    AWAITING_SETTLEMENT: (SETTLEMENT, FRICTION),
    DISPATCHED: (ROUTING, DISTANCE),
    ON_IDENTITY: (IDENTITY, CROSSING),
    ON_POLICY: (POLICY, CROSSING),
    ON_STATE: (STATE, CROSSING),
    ON_AUTHORITY: (AUTHORITY, JURISDICTION),
    TRANSFERRING: (CONTEXT, DISTANCE),
    LANDING: (ROUTING, DISTANCE),
}

# Labels of a unit (definitions: docs/reference/glossary.md).
LABELS: Final = ("U", "C", "B", "F", "H", "I", "X")

# How an execution ended, as the engine records it.
OPEN: Final = 0
RIGHT: Final = 1
WRONG: Final = 2
CAUGHT: Final = 3
DISCARDED: Final = 4
AUDIT: Final = 5
RESIDUAL: Final = 6
FAILED: Final = 7
ABANDONED: Final = 8
DOWN: Final = 9

# What an execution will turn out to be, in `is_wrong` of its record, if nothing interrupts it: its
# solver cheats, it fails, or a policy check was skipped that would have refused the stage.
CHEATED: Final = 1
FAILS: Final = 2
UNCHECKED: Final = 3

# What has become of a stage.
NOT_READY: Final = 0
ACTIVE: Final = 1
COMPLETE: Final = 2
LAPSED: Final = 3
