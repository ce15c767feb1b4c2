"""Cases: one thing tested each, as data, with what may change and how it is to end."""
