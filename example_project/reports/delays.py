"""Which carriers are late? Reads `flights`, writes `delays_by_carrier` beside it."""

import dlt
import pandas as pd


def delays_by_carrier(dataset: dlt.Dataset, chunk_size: int = 50_000) -> pd.DataFrame:
    """Flights, cancellations and the mean departure delay of every carrier.

    One chunk is in memory at a time. Chunks hand on counts and sums, since those add up; means
    do not.

    Args:
        dataset: where to read the table `flights`.
        chunk_size: rows to a chunk (DuckDB rounds to multiples of 2,048).

    Returns:
        A row for each carrier, ordered by `carrier`: `flights`, `cancelled` (those that never
        departed) and `mean_delay` (minutes; negative is early; missing where none departed).
    """
    flights = dataset.table("flights").select("carrier", "dep_time", "dep_delay")
    sums = pd.concat(_sums(chunk) for chunk in flights.iter_df(chunk_size=chunk_size))
    total = sums.groupby("carrier").sum()
    return pd.DataFrame(
        {
            "flights": total["flights"],
            "cancelled": total["flights"] - total["departed"],
            "mean_delay": total["delay"] / total["departed"],
        }
    ).reset_index()


def _sums(chunk: pd.DataFrame) -> pd.DataFrame:
    return chunk.groupby("carrier").agg(
        flights=("carrier", "size"),
        departed=("dep_time", "count"),
        delay=("dep_delay", "sum"),
    )


def main() -> None:
    """Saves the report in the dataset that it reads, and prints it."""
    # dlt has no type for what is plugged in
    dataset = dlt.hub.current.project.catalog().dataset("nyc")  # type: ignore[attr-defined]
    report = delays_by_carrier(dataset)
    dataset.save(report, table_name="delays_by_carrier", write_disposition="replace")
    print(report.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
