"""What every other package stands on: names and seeds, and how the API's arguments are read."""
