"""What a person sees: each view gathers plain data first (what `--json` prints), then lays that data out as text."""
