"""The command line: ``holdfast <noun> <verb>``. One module for each noun; :mod:`.main` joins them."""
