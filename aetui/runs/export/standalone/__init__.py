"""The parts of the standalone script, each written for one run."""
