"""`python -m do_blockstore_async.cli`: the same as `do-blockstore`."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
