"""History for people: bars made of what was shown, in a file of SQLite, and the answers to those who ask for them."""
