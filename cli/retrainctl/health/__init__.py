"""What `retrainctl doctor` looks at: the site's own records, the machine under it, the registry beside it."""
