# SPDX-License-Identifier: Apache-2.0
"""Why there is no figure."""


class Failure(Exception):
    """A system did not do what it was asked to."""


class Absent(Failure):
    """A system or a data set is not on this machine."""


class NotBuilt(Failure):
    """Ours does not have this yet."""
