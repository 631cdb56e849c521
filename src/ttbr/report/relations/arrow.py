"""Relations as Arrow tables: NumPy's memory is Arrow's wherever the two lay it out alike."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ttbr.errors import InputError
from ttbr.report.relations.relation import Coded, Column, Known, Relation, Values

EXTRA = "query"


def pyarrow() -> Any:
    """The library; `InputError` naming the extra where it is absent."""
    try:
        import pyarrow as library  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise InputError(
            f"this needs pyarrow, which is not installed: pip install 'ttbr[{EXTRA}]'"
        ) from None
    return library


def schema(relation: Relation) -> Any:
    """The Arrow schema of a relation; each field has its meaning as metadata."""
    pa = pyarrow()
    fields = [
        pa.field(column.name, _type(pa, column), metadata={"description": column.meaning.encode()})
        for column in relation.columns
    ]
    return pa.schema(fields, metadata={"description": relation.meaning.encode()})


def table(relation: Relation, columns: Mapping[str, Values]) -> Any:
    """A relation's columns as a pyarrow.Table."""
    pa, fields = pyarrow(), schema(relation)
    arrays = [_array(pa, column, columns[column.name]) for column in relation.columns]
    return pa.Table.from_arrays(arrays, schema=fields)


def _type(pa: Any, column: Column) -> Any:
    if column.type == "category":
        return pa.dictionary(pa.int32(), pa.string())
    return pa.type_for_alias(column.type)


def _array(pa: Any, column: Column, values: Values) -> Any:
    match values:
        case Coded(codes, texts):
            below = codes < 0
            mask = below if below.any() else None
            # An index that has no text is none of ours: whoever wrote the image chose it.
            beyond = codes >= len(texts)
            named = [*map(utf8, texts)]
            if beyond.any():
                named += [str(number) for number in range(len(texts), int(codes.max()) + 1)]
            indices = pa.array(codes.astype(np.int32, copy=False), mask=mask)
            return pa.DictionaryArray.from_arrays(indices, pa.array(named, pa.string()))
        case Known(numbers, known):
            numbers = numbers.astype(column.type, copy=False)
            return pa.array(numbers, mask=None if known.all() else ~known)
        case np.ndarray():
            return pa.array(np.ascontiguousarray(values.astype(column.type, copy=False)))
        case _:
            strings = [None if text is None else utf8(text) for text in values]
            found = pa.array(strings, pa.string())
            return found.dictionary_encode() if column.type == "category" else found


def utf8(text: str) -> str:
    """The text as it is, but for bytes that are no UTF-8: those are written ``\\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
