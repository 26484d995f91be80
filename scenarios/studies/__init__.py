"""One question each about power, prices, money or interests, asked of runs or of worlds."""
