"""The tab for many pictures at once: jobs that outlive the page and the server."""
