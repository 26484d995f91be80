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
AWAITING_SETTLEMENT: Final = 8
DISPATCHED: Final = 9
ON_IDENTITY: Final = 10
ON_POLICY: Final = 11
ON_STATE: Final = 12
ON_AUTHORITY: Final = 13
TRANSFERRING: Final = 14
LANDING: Final = 15
ON_CONTEXT: Final = 16
EXECUTING: Final = 17
DELIVERING: Final = 18
AWAITING_VERIFICATION: Final = 19
DONE: Final = 20
EXPIRED: Final = 21
N_STATES: Final = 22
N_WAITING_STATES: Final = 16

STATES: Final = (
    "tool",
    "message in flight",
    "queued",
    "in service",
    "awaiting clearing",
    "unmatched",
    "bounced",
    "redo",
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
    POWER_CAP,
) = range(11)

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

# What has become of a stage.
NOT_READY: Final = 0
ACTIVE: Final = 1
COMPLETE: Final = 2
LAPSED: Final = 3
