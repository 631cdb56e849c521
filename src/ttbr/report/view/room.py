"""How much a document holds: what is larger is shown coarser, and the document says so."""

from dataclasses import dataclass

LEAST_REGIONS = 1 << 8
LEAST_TABLES = 1 << 4


@dataclass
class Room:
    """What is left for the spaces still to come.

    ``regions``: rows of what they map. ``tables``: translation tables that are named. ``entries``:
    entries of tables whose words are held. Each space takes what it needs, but gets ``LEAST_…``
    where nothing is left.
    """

    regions: int = 1 << 17
    tables: int = 1 << 16
    entries: int = 1 << 22

    def take_regions(self, wanted: int) -> int:
        """How many regions the next space can have of those that it has."""
        given = min(wanted, max(self.regions, LEAST_REGIONS))
        self.regions -= given
        return given

    def take_tables(self, wanted: int) -> int:
        """How many tables the next space can name of those that it has."""
        given = min(wanted, max(self.tables, LEAST_TABLES))
        self.tables -= given
        return given
