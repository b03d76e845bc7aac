"""What the server does: it receives uploads, trains on them and tests the result. It never sees a key."""
