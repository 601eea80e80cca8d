"""Found as `dlthub.destinations.adapters`: those that dlt has."""

from dlt.destinations import adapters

__all__ = list(adapters.__all__)
globals().update({name: getattr(adapters, name) for name in __all__})
