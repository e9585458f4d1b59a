"""Estimators: what is measured from walkers, each with its error."""
