"""Found as `dlthub.data_quality`, and by `from dlt.hub import data_quality`: it is not offered."""

raise ImportError(
    "Checks and metrics of data (dlthub.data_quality) are not offered by pytest-dlthub, which "
    "stands for `dlthub` here. dltHub's own package has them: pip install 'dlt[hub]'.",
    name="dlthub.data_quality",
)
