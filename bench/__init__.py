"""Measurements: workloads, peers, ceilings, and the harness behind `evenflow bench`."""
