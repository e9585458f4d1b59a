"""What a referee would ask: comparisons with known answers, each a row with a verdict."""
