"""Drops, the contract they must fit, and the store of accepted rows."""
