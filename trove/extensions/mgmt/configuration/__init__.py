"""The parameters of datastore versions as administrators make and change them."""
