"""What the API and the guest both know of databases and users."""
