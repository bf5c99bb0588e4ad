"""What the record of calls costs: the same commands with it and without, side by side."""

from . import cost

SETTING = cost.Setting(
    "calls recorded",
    {
        True: ("calls recorded", {"FLORIN_AUDIT": "true"}),
        False: ("calls not recorded", {"FLORIN_AUDIT": "false"}),
    },
    target=0.85,
)


def measured(stacks, options, report):
    """The share of the throughput that is left."""
    return cost.measured(stacks, options, report, SETTING)
