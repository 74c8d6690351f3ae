"""Tables read as a whole: before the stream, and while it flows."""
