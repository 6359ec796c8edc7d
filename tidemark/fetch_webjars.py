"""The page's libraries, fetched once from Maven's repositories: ``python -m tidemark.fetch_webjars``, 1.4 MB."""

from __future__ import annotations

import sys

from api.assets.webjars import DIRECTORY, POM
from tidemark.maven import MavenFailed, ensure_jars

_JARS = ("uplot-1.6.30.jar", "swagger-ui-5.34.1.jar")


def main() -> None:
    """Fetch the libraries to where the api looks for them."""
    try:
        ensure_jars(POM, DIRECTORY, _JARS)
    except MavenFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
