"""retrainctl: looks at a site through its journal, and asks the daemon for what changes something."""
