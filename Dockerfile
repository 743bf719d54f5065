# The page as a server; see docs/serving.md. Build and start: docker compose up --build
FROM python:3.12-slim

# What to install besides the base: see the table of extras in README.md. For a GPU add gpu, and start the container
# with the NVIDIA runtime (compose.yaml).
ARG EXTRAS=heif,mcp

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY translate translate
COPY export export
COPY ui ui
COPY checkpoints checkpoints
RUN pip install --constraint constraints.txt ".[$EXTRAS]" \
    && groupadd --system --gid 10001 translate \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /work --shell /usr/sbin/nologin translate \
    && install --directory --owner=10001 --group=10001 /work /models

# Uploads and results lie in TMPDIR until the server ends; nothing else is written.
ENV TMPDIR=/work HOME=/work
VOLUME /work
WORKDIR /work
USER 10001:10001
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]

# Refuses to start without --auth-file (or --without-password), which compose.yaml adds.
ENTRYPOINT ["translate", "ui", "--host", "0.0.0.0", "--no-open"]
