"""How much a caller may take: connections, rates, money."""
