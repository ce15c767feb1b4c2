"""Programs that show holdfast at work; every one of them is run by the tests."""
