"""The server around the house: the app, its envelope, its connections, and the routes that belong to no dialect."""
