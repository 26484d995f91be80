"""SQL: the one place that asks a saved result questions, with DuckDB.

Loaded only where it is asked for; `pip install 'hanse[sql]'` brings what it needs.
"""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from hanse.scenarios.results import ResultsError, check_result


class QueryError(ResultsError):
    """A query that cannot be answered."""


def query(directory: Path, text: str) -> pa.Table:
    """Answer a query over the tables of a result, each by its name; nothing is written.

    Rows stream from the files, so that a result larger than memory can be asked. A query sees the
    tables and no other file.

    Raises
    ------
    ResultsError
        If the directory is no result.
    QueryError
        If the query is wrong; the message is DuckDB's.
    """
    check_result(directory)
    with duckdb.connect() as connection:
        for file in sorted((directory / "tables").glob("*.parquet")):
            connection.register(file.stem, ds.dataset(file))
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        try:
            # Annotated as never None, which it is for a statement without rows.
            relation: Any = connection.sql(text)
            answer = relation.to_arrow_table() if relation is not None else None
        except duckdb.Error as error:
            raise QueryError(str(error)) from error
    if answer is None:
        raise QueryError("the statement gives no rows; ask with select")
    return answer
