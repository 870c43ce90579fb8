"""The backends that come with the stage; entry points name them."""
