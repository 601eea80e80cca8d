"""What `dlt.hub.current` offers."""

from dlthub import project as project
