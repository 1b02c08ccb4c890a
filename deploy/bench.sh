#!/usr/bin/env bash
# Measures the server beside what its parts can do at all, and says of each figure whether it is as it should be.
# What it prints are ratios of figures of the same run, so that they mean something on any machine; what is not met is
# told, and is no error. Any option of the load generator may follow: deploy/bench.sh --rounds 5 --only pulls
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run --quiet --release --locked -p pinion-server --example load -- "$@"
