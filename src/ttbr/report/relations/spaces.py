"""Relations of an address space: mappings, regions, tables."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ttbr.mmu.mappings import Mappings
from ttbr.report.relations.relation import Column, Known, Relation, Values, coded
from ttbr.report.relations.source import Source

_ATTRIBUTES = (
    Column("memory", "category", "memory type: Normal, Device-nGnRE …"),
    Column("inner_cache", "category", "inner cacheability of Normal memory"),
    Column("outer_cache", "category", "outer cacheability of Normal memory"),
    Column("shareability", "category", "who else sees accesses in order"),
    Column("el0_read", "bool", "EL0 may read; all permissions with the limits of tables above"),
    Column("el0_write", "bool", "EL0 may write"),
    Column("el0_execute", "bool", "EL0 may execute"),
    Column("el1_read", "bool", "EL1 may read; in spaces of EL2 and EL3 that level, as all el1_…"),
    Column("el1_write", "bool", "EL1 may write"),
    Column("el1_execute", "bool", "EL1 may execute"),
    Column("access_flag", "bool", "the access flag is set, or there is none"),
    Column("dirty_managed", "bool", "hardware manages the dirty state (DBM)"),
    Column("non_global", "bool", "entries of TLBs have an ASID (nG)"),
    Column("contiguous", "bool", "part of a contiguous group"),
    Column("guarded", "bool", "guarded page (GP, BTI)"),
    Column("non_secure", "bool", "NS bit of a secure space"),
    Column("domain", "int8", "domain of a short descriptor, null in other formats"),
    Column("attr_index", "int8", "AttrIndx, or TEX C B of a short descriptor"),
    Column("software", "int32", "bits that the hardware leaves to software"),
)
# INNER and OUTER are words of SQL.
_FIELDS = {"inner_cache": "inner", "outer_cache": "outer"}
_TEXTS = ("memory", "inner_cache", "outer_cache", "shareability")


def _attributes(mappings: Mappings, which: NDArray[np.int16]) -> dict[str, Values]:
    """The attributes of rows, by the index of each in the distinct values."""
    values = mappings.attribute_values
    columns: dict[str, Values] = {}
    for column in _ATTRIBUTES:
        found = [getattr(value, _FIELDS.get(column.name, column.name)) for value in values]
        if column.name in _TEXTS:
            columns[column.name] = coded(which, found)
        elif column.name == "domain":
            known = np.array([domain is not None for domain in found], np.bool_)
            columns["domain"] = Known(
                np.array([domain or 0 for domain in found], np.int8)[which], known[which]
            )
        else:
            columns[column.name] = np.array(found, column.type)[which]
    return columns


def _mappings(source: Source) -> Mapping[str, Values]:
    found = source.mappings
    return {
        "va": found.va,
        "last": found.last,
        "pa": found.pa,
        "size": found.size.view(np.int64),
        "level": found.level,
        "table_pa": found.table,
        "region": coded(*source.region_names.of_many(found.va)),
        **_attributes(found, found.attributes),
    }


def _regions(source: Source) -> Mapping[str, Values]:
    found = source.mappings.regions()
    levels = ["/".join(map(str, each)) for each in found.levels()]
    return {
        "va": found.va,
        "last": found.last,
        "pa": found.pa,
        "size": found.size.view(np.int64),
        "levels": coded(np.arange(len(levels)), levels),
        "descriptors": found.rows,
        "region": coded(*source.region_names.of_many(found.va)),
        **_attributes(source.mappings, found.attributes),
    }


def _tables(source: Source) -> Mapping[str, Values]:
    found = source.mappings.tables
    return {
        "pa": found.address,
        "level": found.level,
        "va": found.va,
        "entries": found.entries,
        "region": coded(*source.region_names.of_many(found.va)),
    }


_REGION = Column("region", "category", "region of the kernel's layout, '' outside the known ones")

MAPPINGS = Relation(
    "mappings",
    "Every leaf descriptor of the space (the kernel's, or that of --root), by address.",
    "dump",
    (
        Column("va", "uint64", "first virtual address"),
        Column("last", "uint64", "last virtual address (inclusive)"),
        Column("pa", "uint64", "physical address of the first byte"),
        Column("size", "int64", "bytes that this one descriptor maps"),
        Column("level", "int8", "level of the descriptor's table"),
        Column("table_pa", "uint64", "physical address of the table that holds the descriptor"),
        _REGION,
        *_ATTRIBUTES,
    ),
    _mappings,
)

REGIONS = Relation(
    "regions",
    "Ranges of the space: neighbours in virtual and physical memory with equal attributes.",
    "dump",
    (
        Column("va", "uint64", "first virtual address"),
        Column("last", "uint64", "last virtual address (inclusive)"),
        Column("pa", "uint64", "physical address of the first byte"),
        Column("size", "int64", "bytes"),
        Column("levels", "category", "levels of the leaves: '2/3' are blocks and pages"),
        Column("descriptors", "int64", "number of leaf descriptors"),
        _REGION,
        *_ATTRIBUTES,
    ),
    _regions,
)

TABLES = Relation(
    "tables",
    "Every translation table of the space; one used in several places has a row for each.",
    "dump",
    (
        Column("pa", "uint64", "physical address"),
        Column("level", "int8", "level"),
        Column("va", "uint64", "lowest virtual address that it translates"),
        Column("entries", "int32", "number of entries"),
        _REGION,
    ),
    _tables,
)
