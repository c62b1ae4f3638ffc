"""What-if on the screen: the choice of forks, their table and chart, and adopting one."""
