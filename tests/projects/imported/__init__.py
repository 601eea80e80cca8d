"""A packaged project with accessors of its own, as documentation of projects writes them."""

import os


def access_profile():
    """Return the profile that the package is used with."""
    return "access"


def context():
    """Return the run context of the project."""
    from dlthub.project.run_context import ensure_project

    return ensure_project(run_dir=os.path.dirname(__file__), profile=access_profile())


def catalog():
    """Return the datasets."""
    from dlthub.project import Catalog

    return Catalog(context())
