"""The tab of models, and models that come while the page runs."""
