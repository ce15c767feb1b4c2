"""E-mail over SMTP under holdfast, and a small mail server with mailboxes of its own; see README.md."""
