"""Exit 0 when the service in this container says it is ready, else print its reason: the images' health check.

Standard library only and quick to start: it runs every few seconds in every container.
"""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    port = int(os.environ.get("GENERALS_OBSERVABILITY__METRICS_PORT", "9100"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        sys.stdout.write(answer.read(500).decode("utf-8", "replace"))
    except OSError as error:
        sys.stdout.write(f"nothing answers on port {port}: {error}\n")
        return 1
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
