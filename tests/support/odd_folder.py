"""Makes the folder that `TMPDIR` names, `<folder>/link ö/t`, behind a link to another such name."""

from __future__ import annotations

import os
from pathlib import Path

folder = Path(os.environ["TMPDIR"])
real = folder.parent.with_name("real ü")
(real / folder.name).mkdir(parents=True, exist_ok=True)
if not folder.parent.is_symlink():
    folder.parent.symlink_to(real, target_is_directory=True)
