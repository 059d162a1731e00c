"""What commands are said in, whoever carries them out: replies, numbers, patterns, and how a command is registered."""
