"""What retraind knows and decides: pure functions and values, no I/O and no clock, the standard library alone."""
