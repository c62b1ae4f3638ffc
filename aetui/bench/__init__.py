"""What watching a run costs, measured on the user's own machine."""
