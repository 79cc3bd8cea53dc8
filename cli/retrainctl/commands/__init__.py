"""What each command does, one file a noun; `app` imports a file when its command is used."""
