"""Programs that the server gives away. They import nothing of this project, and nothing of it imports them."""
