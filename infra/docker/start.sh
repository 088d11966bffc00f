#!/bin/sh
# Puts the image's compiled kernels where numba may write its own beside them, then becomes the service. Numba refuses a
# cache folder that it cannot write to, and nothing in the image is writable.
set -e
mkdir -p "$NUMBA_CACHE_DIR"
[ ! -d /opt/generals/kernels ] || cp -R /opt/generals/kernels/. "$NUMBA_CACHE_DIR"/
exec "$@"
