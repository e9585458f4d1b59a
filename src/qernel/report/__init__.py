"""The report of a run: figures, their data, and one HTML page that opens without a network."""
