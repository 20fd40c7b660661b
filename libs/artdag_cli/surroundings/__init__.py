"""What a system stands on, as ``artdag doctor`` looks at it: this machine, its folders, servers and settings."""
