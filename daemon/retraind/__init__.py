"""retraind: an event-driven retraining daemon for demand and price forecasting."""

__version__ = "0.1.0"
