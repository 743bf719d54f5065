"""Around the page: the server, who may use it, its interface for programs, and figures for operators."""
