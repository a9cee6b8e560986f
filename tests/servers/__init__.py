"""Real database servers for the tests and the demo: private, on loopback, with checked passwords."""
