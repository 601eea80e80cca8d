"""Flights that left New York in 2013: the project as an importable package."""

from dlthub_project import PackagedProject

access_profile, context, config, entities, runner, catalog = PackagedProject(__file__)
