"""What integration tests stand on: real daemons of our own, a broker of our own, and the worker's seat."""
