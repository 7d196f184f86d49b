"""Ansible's collection community.digitalocean, which is part of the package ansible."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .driver import done

PLAYBOOK = Path(__file__).parent / "ansible" / "playbook.yml"

settings = {
    **os.environ,
    "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    "ANSIBLE_LOCALHOST_WARNING": "false",
    "ANSIBLE_DEPRECATION_WARNINGS": "false",
    "ANSIBLE_NOCOLOR": "true",
    "LC_ALL": "C.UTF-8",
}
command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(PLAYBOOK)]
subprocess.run(command, env=settings, check=True)  # noqa: S603 -- this very Python
done("read the account", "list regions", "get a Droplet", "list Droplets", "list volumes")
done("create a volume", "create one from a snapshot", "be told that a name is taken")
done("find a volume by name", "attach by name", "detach by name", "resize", "get an action")
done("create a snapshot", "list all snapshots", "delete a snapshot")
done("create a tag", "delete a volume by name")
