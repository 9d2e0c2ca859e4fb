"""Walk the demo: each module holds the steps of one room, as functions over `Stage`."""
