"""What the record of calls costs: the same commands with it and without."""

from . import turns

TURNS = {
    True: ("calls recorded", {"FLORIN_AUDIT": "true"}),
    False: ("calls not recorded", {"FLORIN_AUDIT": "false"}),
}
TARGET = 0.85


def cost(stack, options, report):
    """The share of the throughput that is left."""
    return turns.cost(stack, options, report, "calls recorded", TURNS, TARGET)
