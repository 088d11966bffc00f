"""One file a group of commands; `main` joins them. Services are imported inside the functions: start-up is quick."""
