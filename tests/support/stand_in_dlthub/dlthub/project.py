"""Projects: a run context, for folders with a `dlt.yml`, that keeps data in the project."""

import os

import dlt
from dlt._workspace.providers import ProfileConfigTomlProvider, ProfileSecretsTomlProvider
from dlt.common.runtime.run_context import RunContext


class ProjectRunContext(RunContext):
    def __init__(self, run_dir, profile):
        super().__init__(run_dir)
        self.profile = profile

    @property
    def name(self):
        return os.path.basename(self.run_dir)

    @property
    def data_dir(self):
        return os.path.join(self.run_dir, "_production", self.profile)

    @property
    def local_dir(self):
        return os.path.join(self.run_dir, "_production", "local")

    @property
    def runtime_kwargs(self):
        return {"profile": self.profile}

    def initial_providers(self):
        found = super().initial_providers()
        folders = self.settings_dir, self.profile, self.global_dir
        return [
            found[0],
            ProfileSecretsTomlProvider(*folders),
            ProfileConfigTomlProvider(*folders),
        ]

    def get_data_entity(self, entity):
        return os.path.join(self.run_dir, "_production", entity)

    def plug(self):
        os.environ["STAND_IN_IS_PLUGGED"] = self.name


def context():
    found = dlt.current.run_context()
    assert isinstance(found, ProjectRunContext)
    return found
