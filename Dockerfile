# syntax=docker/dockerfile:1
# Three images of one server:
#   gateway  no model inside: turns run on vLLM servers elsewhere (KOSMOSX_ENGINE=remote)
#   cpu      everything, on the bundled model: docker run -p 8000:8000 IMAGE is the whole demo
#   gpu      on vLLM's own image: the server with its model on a GPU, or `vllm serve` as an engine

# Any Debian with python3 and its venv module does; both stages need the same one.
ARG BASE_IMAGE=docker.io/library/python:3.12-slim-bookworm
ARG VLLM_IMAGE=docker.io/vllm/vllm-openai:v0.32.0


# -- build: nothing of it but the finished environments gets into an image -------------------------

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_CACHE_DIR=/var/cache/uv \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY locks locks
# uv itself from the lock, with its hash; it then holds every package to the lock's version and hash.
RUN python3 -m venv /opt/uv \
    && awk '/^uv==/ {p=1; print; next} /^[^ ]/ {p=0} p' locks/cpu.txt > /tmp/uv.txt \
    && /opt/uv/bin/python -m pip install --no-cache-dir --no-deps --require-hashes -r /tmp/uv.txt \
    && python3 -m venv --without-pip /opt/kosmosx
COPY pyproject.toml ./

FROM build AS gateway-build
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --python /opt/kosmosx/bin/python --verify-hashes \
    --constraint locks/cpu.txt --requirement pyproject.toml --extra embedded
# Of the lock, what this server itself needs: vLLM's CUDA build needs other versions of its own parts.
RUN /opt/uv/bin/uv pip freeze --python /opt/kosmosx/bin/python > /tmp/has.txt \
    && awk 'NR == FNR {has[$1]; next} /^[^ ]/ {p = $1 in has} p' /tmp/has.txt locks/cpu.txt > /opt/gateway.txt
COPY . .
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --python /opt/kosmosx/bin/python --no-deps .

FROM build AS cpu-build
# PyTorch's CPU build is not on PyPI. It comes first and alone, so that no CUDA build comes with it.
ARG TORCH=torch==2.13.0+cpu
ARG TORCH_SOURCE="--index-url https://download.pytorch.org/whl/cpu"
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --python /opt/kosmosx/bin/python --no-deps ${TORCH_SOURCE} "${TORCH}" \
    && /opt/uv/bin/uv pip install --python /opt/kosmosx/bin/python --verify-hashes \
    --constraint locks/cpu.txt --override locks/overrides.txt --requirement pyproject.toml --extra cpu
COPY . .
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --python /opt/kosmosx/bin/python --no-deps .


# -- run -------------------------------------------------------------------------------------------

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS run
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kosmosx-stream" \
      org.opencontainers.image.description="A self-hosted streaming chat server for Kosmos-X on vLLM" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Numbers, so that Kubernetes can see that it is not root. Whatever is written lies in two folders.
RUN groupadd --gid 10001 kosmosx \
    && useradd --uid 10001 --gid 10001 --home-dir /cache --no-create-home --shell /usr/sbin/nologin kosmosx \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data /cache
ENV PATH=/opt/kosmosx/bin:$PATH PYTHONUNBUFFERED=1 \
    HOME=/cache XDG_CACHE_HOME=/cache HF_HOME=/cache/huggingface \
    KOSMOSX_HOST=0.0.0.0 KOSMOSX_PORT=8000 KOSMOSX_DATA_DIR=/data
WORKDIR /data
VOLUME ["/data", "/cache"]
USER 10001:10001
EXPOSE 8000
# The server takes no new turns, lets live ones finish, hands over the rest, and closes with 1012.
STOPSIGNAL SIGTERM
# A model is loaded meanwhile; from the hub it takes as long as the download does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 CMD ["kosmosx", "health"]
ENTRYPOINT ["kosmosx"]
CMD ["serve"]

FROM run AS gateway
ENV KOSMOSX_ENGINE=remote
COPY --from=gateway-build /opt/kosmosx /opt/kosmosx

FROM run AS cpu
USER 0
# vLLM links to libnuma, and compiles kernels for all but the smallest models. Debian's own versions:
# they change with its security updates.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libnuma1 g++ \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
COPY --from=cpu-build /opt/kosmosx /opt/kosmosx

# hadolint ignore=DL3006
FROM ${VLLM_IMAGE} AS gpu
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kosmosx-stream" \
      org.opencontainers.image.description="A self-hosted streaming chat server for Kosmos-X on vLLM" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 0
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /source
COPY . .
COPY --from=gateway-build /opt/gateway.txt /tmp/gateway.txt
# What the image has in a fitting version stays: vLLM, its torch and CUDA above all.
RUN --mount=type=cache,target=/var/cache/uv \
    UV_CACHE_DIR=/var/cache/uv uv pip install --system --verify-hashes --constraint /tmp/gateway.txt ".[gpu]" \
    && rm -rf /source/* \
    && groupadd --gid 10001 kosmosx \
    && useradd --uid 10001 --gid 10001 --home-dir /cache --no-create-home --shell /usr/sbin/nologin kosmosx \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data /cache
ENV PYTHONUNBUFFERED=1 HOME=/cache XDG_CACHE_HOME=/cache HF_HOME=/cache/huggingface \
    KOSMOSX_HOST=0.0.0.0 KOSMOSX_PORT=8000 KOSMOSX_DATA_DIR=/data
WORKDIR /data
VOLUME ["/data", "/cache"]
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 CMD ["kosmosx", "health"]
ENTRYPOINT ["kosmosx"]
CMD ["serve"]
