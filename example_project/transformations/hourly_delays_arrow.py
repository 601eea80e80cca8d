"""The table of `hourly_delays/`, made with Arrow instead of SQL."""

import dlt
import pyarrow as pa
import pyarrow.compute as pc

HOUR_OF_WEATHER = ["origin", "time_hour"]


@dlt.hub.transformation
def hourly_delays_arrow(dataset: dlt.Dataset) -> pa.Table:
    """Delays by carrier and hour of the day (New York's, as scheduled), and those in rain."""
    flights = _read(dataset, "flights", "carrier", "hour", "dep_time", "dep_delay")
    weather = _read(dataset, "weather", "precip")
    # the weather of some hours is not known, and flights then count as those without rain
    joined = flights.join(weather, HOUR_OF_WEATHER)
    in_rain = pc.fill_null(pc.greater(joined["precip"], 0), fill_value=False)
    joined = joined.append_column("in_rain", in_rain)
    joined = joined.append_column("rain_delay", pc.if_else(in_rain, joined["dep_delay"], None))
    totals = joined.group_by(["carrier", "hour"]).aggregate(
        [
            ([], "count_all"),
            ("dep_time", "count", pc.CountOptions("only_null")),
            ("dep_delay", "mean"),
            ("in_rain", "sum"),
            ("rain_delay", "mean"),
        ]
    )
    return pa.table(
        {
            "carrier": totals["carrier"],
            "hour": totals["hour"],
            "flights": totals["count_all"],
            "cancelled": totals["dep_time_count"],
            "mean_delay": totals["dep_delay_mean"],
            "flights_in_rain": totals["in_rain_sum"].cast(pa.int64()),
            "mean_delay_in_rain": totals["rain_delay_mean"],
        }
    )


def _read(dataset: dlt.Dataset, table: str, *columns: str) -> pa.Table:
    relation = dataset.table(table).select(*HOUR_OF_WEATHER, *columns)
    return pa.concat_tables(relation.iter_arrow(chunk_size=100_000))
