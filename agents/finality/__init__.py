"""When a closed month is final: all that was committed before the close has been captured and applied."""
